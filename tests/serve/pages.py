"""What tests of the page to try models do in it."""

TASKS = (
    "Part of speech",
    "Dependency tree",
    "Named entities",
    "Classification: topics",
    "Classification: nli",
    "Question answering",
)


def choose(page, task):
    page.locator("#tasks label", has_text=task).click()
    page.locator("#results[aria-busy=false] .said > *").first.wait_for()


def write(page, **texts):
    """Types, and waits for what is said of it."""
    for name, text in texts.items():
        page.locator(f"#{name}").fill(text)
    page.locator("#run").click()
    page.locator("#results[aria-busy=false]").wait_for()


def texts(page, selector):
    return page.locator(selector).all_inner_texts()


def drawn(page, selector):
    return page.locator(selector).all_text_contents()  # SVG has no inner text


def until(page, condition):
    """As ``wait_for_function``, which the policy of the page's server forbids."""
    for _ in range(200):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    raise AssertionError(condition)
