"""The page to try models: by keyboard, on a phone, in the dark, and as axe has it."""

from http.server import SimpleHTTPRequestHandler

import pytest
from tests.serve.pages import TASKS, choose, unfold
from tests.serve.servers import KINDS, serving

from bistil.errors import BistilError
from bistil.exporting.web import write_web
from bistil.packages import NpmPackage, fetch

AXE = NpmPackage(
    "axe-core",
    "4.10.3",
    "sha512-Xm7bpRXnDSX2YE2YFfBk2FnF0ep6tmG7xPh8iHee8MIcrgq762Nkce856dYtJYLkuIoYZvGfTs/PbZhideTcEg==",
    ("axe.min.js",),
    "MPL-2.0",
)
LOOKS = [(width, scheme) for width in (390, 1280) for scheme in ("light", "dark")]


@pytest.mark.slow
def test_keyboard_alone(opened):
    page = opened()
    page.locator(".words").first.wait_for()
    page.keyboard.press("Tab")
    for task in TASKS[1:]:
        page.keyboard.press("ArrowRight")
        assert page.locator("#tasks :checked + span").inner_text() == task
    page.keyboard.press("Home")
    for _ in TASKS[1:]:
        page.keyboard.press("ArrowLeft")
    ring = page.locator("#tasks :focus-visible + span")
    assert ring.evaluate("one => getComputedStyle(one).outlineStyle") == "solid"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "text"
    page.keyboard.press("Control+A")
    page.keyboard.insert_text("uyudu")
    page.keyboard.press("Control+Enter")
    page.locator("#results[aria-busy=false] .words", has_text="uyudu").first.wait_for()
    assert page.evaluate("calls.at(-1).input") == "uyudu"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "run"
    for _ in range(3):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.locator(".words", has_text="القط").first.wait_for()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "As a table"
    page.keyboard.press("Enter")
    page.locator("tbody tr").first.wait_for()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "wide"


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_fits_and_is_dark_where_one_likes_it(opened, width, scheme):
    page = opened("?", width, scheme)
    for task in TASKS:
        choose(page, task)
        unfold(page)
        assert page.evaluate("document.scrollingElement.scrollWidth") <= width
    back = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert back == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 24, 28)"}[scheme]


@pytest.fixture(scope="module")
def axe():
    try:
        return (fetch(AXE) / "axe.min.js").read_text(encoding="utf-8")
    except BistilError as error:
        if "cannot be reached" in str(error):
            pytest.skip("the npm registry cannot be reached")
        raise


@pytest.fixture(scope="module")
def exported_page(models, tmp_path_factory):
    folder = tmp_path_factory.mktemp("web")
    try:
        for name, source in models.items():
            write_web(source, name, folder)
    except BistilError as error:
        if "cannot be reached" in str(error):
            pytest.skip("the npm registry cannot be reached")
        raise
    with serving(SimpleHTTPRequestHandler, folder) as address:
        yield address


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_axe_finds_nothing(opened, axe, width, scheme):
    page = opened("", width, scheme, reduced_motion="reduce")
    page.evaluate(axe)
    for task in TASKS:
        choose(page, task)
        unfold(page)
        assert violations(page) == [], task
    locked = opened("?locked", width, scheme)
    locked.locator("#token").wait_for()
    locked.evaluate(axe)
    assert violations(locked) == []


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.parametrize(("width", "scheme"), LOOKS)
@pytest.mark.parametrize("kind", ["served", "exported"])
def test_axe_finds_nothing_where_models_answer(kind, browser, server, axe, width, scheme, request):
    address = f"http://127.0.0.1:{server.port}/" if kind == "served" else request.getfixturevalue("exported_page")
    page = browser.new_page(
        viewport={"width": width, "height": 800}, color_scheme=scheme, reduced_motion="reduce", bypass_csp=True
    )
    page.goto(address)
    page.evaluate(axe)
    tasks = page.locator("#tasks label")
    tasks.first.wait_for()
    assert tasks.count() == len(KINDS)
    for number in range(len(KINDS)):
        tasks.nth(number).click()
        page.locator("#results[aria-busy=false] .said > *").first.wait_for()
        unfold(page)
        assert violations(page) == [], KINDS[number]
    page.close()


def violations(page):
    found = page.evaluate("axe.run().then((result) => result.violations)")
    return [(one["id"], [node["html"] for node in one["nodes"]]) for one in found]
