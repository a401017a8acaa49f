"""What tests of the page to try models do in it."""

TASKS = (
    "Part of speech",
    "Dependency tree",
    "Part of speech, the treebank's tags",
    "Dependency tree with subtypes",
    "grammatical-case",
    "length",
    "Named entities",
    "Classification: topics",
    "Classification: nli",
    "Question answering",
)
UNFOLDED = "[...document.querySelectorAll('details[open]')].every((part) => part.children.length > 1)"


def choose(page, task):
    page.locator("#tasks label").filter(has=page.get_by_text(task, exact=True)).click()
    page.locator("#results[aria-busy=false] .said > *").first.wait_for()


def write(page, **texts):
    """Types, and waits for what is said of it."""
    for name, text in texts.items():
        page.locator(f"#{name}").fill(text)
    page.locator("#run").click()
    page.locator("#results[aria-busy=false]").wait_for()
    until(page, UNFOLDED)


def unfold(page, *titles):
    """Opens what is folded, all or by title: it is filled in an event that comes later than the click."""
    for title in titles:
        page.get_by_text(title).first.click()
    if not titles:
        page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    until(page, UNFOLDED)


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
