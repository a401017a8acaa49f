import pytest

from bistil.report import write_comparison, write_report

HOSTILE = "<img src=http://example.org/x.png onerror=alert(1)><script>console.error('ran')</script>"


LONG = "a-very-long-title-without-a-single-space-in-it-" * 3


def one_run(report, folder):
    report["tasks"][0]["examples"][0]["text"] = HOSTILE
    report["models"][1]["title"] = LONG
    return write_report(report, folder)


def three_runs(report, folder):
    distilled = report["distillation"]
    longer = {**report, "distillation": {**distilled, "tokens": 4 * distilled["tokens"]}}
    return write_comparison({HOSTILE: report, LONG: longer, "x": report}, folder)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("write", [one_run, three_runs])
def test_the_page_opens_cleanly(browser, sample, tmp_path, write, width, scheme):
    file = write(sample(), tmp_path)
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    complaints, requests = [], []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(file.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    assert complaints == []
    assert [url for url in requests if not url.startswith("data:")] == [file.as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    columns = page.evaluate(
        "getComputedStyle(document.querySelector('.plots')).gridTemplateColumns.split(' ').length"
    )
    assert columns == (2 if width == 1280 else 1)
    # Text of the plots has the page's colour and is not below 10 pixels, also on a phone.
    label, body = page.evaluate(
        "[document.querySelector('svg text'), document.body].map(one => getComputedStyle(one))"
        ".map((style, index) => index ? style.color : style.fill)"
    )
    assert label == body
    height = page.evaluate("document.querySelector('svg text').getBoundingClientRect().height")
    assert height >= 10
    page.close()
