"""The page to try models: by keyboard, on a phone, in the dark, and as axe has it."""

import shutil
import subprocess

import pytest
from tests.serve.pages import TASKS, choose


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
        page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
        assert page.evaluate("document.scrollingElement.scrollWidth") <= width
    back = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert back == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 24, 28)"}[scheme]


@pytest.mark.loaders
@pytest.mark.network
def test_axe_finds_nothing(opened, tmp_path):
    if shutil.which("npm") is None:
        pytest.skip("no npm on the PATH (https://nodejs.org; Debian and Ubuntu: apt install npm)")
    done = subprocess.run(
        [shutil.which("npm"), "install", "--no-audit", "--no-fund", "--prefix", str(tmp_path), "axe-core@4"],
        capture_output=True,
        encoding="utf-8",
    )
    if done.returncode and any(sign in done.stderr for sign in ("ENOTFOUND", "ECONNREFUSED", "ETIMEDOUT")):
        pytest.skip("the npm registry cannot be reached")
    assert done.returncode == 0, done.stderr
    axe = (tmp_path / "node_modules/axe-core/axe.min.js").read_text(encoding="utf-8")
    for scheme in ("light", "dark"):
        for width in (390, 1280):
            page = opened("", width, scheme, reduced_motion="reduce")
            page.evaluate(axe)
            for task in TASKS:
                choose(page, task)
                page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
                assert violations(page) == [], (scheme, width, task)
            locked = opened("?locked", width, scheme)
            locked.locator("#token").wait_for()
            locked.evaluate(axe)
            assert violations(locked) == [], (scheme, width, "locked")


def violations(page):
    found = page.evaluate("axe.run().then((result) => result.violations)")
    return [(one["id"], [node["html"] for node in one["nodes"]]) for one in found]
