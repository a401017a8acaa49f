"""The page to try models: what it says, and when."""

from pathlib import Path

import pytest
from tests.serve.pages import TASKS, choose, drawn, texts, unfold, until, write

import bistil

BACKEND = Path(bistil.__file__).parent / "serve/backend.js"

pytestmark = pytest.mark.slow


def test_tags_of_two_models_stand_side_by_side(opened):
    page = opened()
    write(page, text="kedi uyudu")
    assert texts(page, "h2") == ["student-pos", "teacher-pos"]
    for card in page.locator(".card").all():
        assert [one.split() for one in texts(card, ".words .chip")] == [["kedi", "NOUN"], ["uyudu", "VERB"]]
        assert texts(card, ".legend li") == ["NOUN noun", "VERB verb"]
    assert [texts(card, "dd") for card in page.locator(".card").all()] == [
        ["3.14 ms", "21.5 MB", "int8", "English, Turkish"],
        ["3.14 ms", "1.11 GB", "torch", "English, Turkish"],
    ]
    left, right = (card.bounding_box() for card in page.locator(".card").all())
    assert left["y"] == right["y"]
    assert left["x"] + left["width"] < right["x"]
    page.set_viewport_size({"width": 390, "height": 800})
    upper, lower = (card.bounding_box() for card in page.locator(".card").all())
    assert upper["y"] + upper["height"] < lower["y"]


def test_what_models_differ_in_is_outlined(opened):
    page = opened()
    write(page, text="kedi sessizce uyudu")
    assert page.locator("#status").inner_text() == "The models differ in 1 place, outlined below."
    assert [one.split() for one in texts(page, ".differs")] == [["sessizce", "X"], ["sessizce", "ADV"]]


def test_line_breaks_stay(opened):
    page = opened("?only=pos")
    write(page, text="kedi\nuyudu")
    first, second = (word.bounding_box() for word in page.locator(".card").first.locator(".words .chip").all())
    assert first["y"] + first["height"] <= second["y"]


def test_dependency_tree(opened):
    page = opened()
    choose(page, "Dependency tree")
    assert drawn(page, ".tree .token") == ["Evdeki", "kedi", "pencerede", "sessizce", "uyudu", "."]
    assert sorted(drawn(page, ".tree .relation")) == ["advmod", "amod", "nsubj", "obl", "punct", "root"]
    assert "nsubj nominal subject" in texts(page, ".legend li")
    unfold(page, "As a table")
    rows = [row.split("\t") for row in texts(page, "tbody tr")]
    assert rows[0] == ["1", "Evdeki", "2 kedi", "amod", "90.0%"]
    assert rows[4] == ["5", "uyudu", "0", "root", "90.0%"]
    write(page, text="kedi uyudu")
    assert page.locator("tbody tr").count() == 2  # stays open


def test_right_to_left(opened):
    page = opened()
    choose(page, "Dependency tree")

    def across(selector):
        return [one.bounding_box()["x"] for one in page.locator(selector).all()]

    assert across(".tree .token") == sorted(across(".tree .token"))
    page.get_by_role("button", name="Arabic").click()
    page.locator(".tree .token", has_text="القط").wait_for()
    assert across(".tree .token") == sorted(across(".tree .token"), reverse=True)
    named = dict(zip(drawn(page, ".relation"), across(".relation"), strict=True))
    assert named["obl"] < named["nsubj"] < named["root"]
    direction = "one => getComputedStyle(one).direction"
    assert page.locator("#text").evaluate(direction) == "rtl"
    assert page.locator("#text").get_attribute("lang") == "ar"
    choose(page, "Part of speech")
    page.get_by_role("button", name="Arabic").click()
    page.locator(".words .chip", has_text="القط").first.wait_for()
    assert page.locator(".words > *").first.evaluate(direction) == "rtl"
    write(page, text="kedi uyudu\nنام القط")
    assert [line.evaluate(direction) for line in page.locator(".words").first.locator("> *").all()] == [
        "ltr",
        "rtl",
    ]
    kedi, uyudu, first, second = (
        one.bounding_box()["x"] for one in page.locator(".words").first.locator(".chip").all()
    )
    assert kedi < uyudu
    assert first > second


def test_entities(opened):
    page = opened()
    choose(page, "Named entities")
    assert texts(page, "mark") == ["Mavi Nil LOC", "Tana Gölü LOC"]
    assert page.locator(".passage").inner_text().startswith("Mavi Nil LOC Etiyopya'daki")
    write(page, text="Kedi uyudu.")
    assert "No entities in this text." in page.locator(".said").inner_text()


@pytest.mark.parametrize(
    ("task", "tag", "legend"),
    [
        ("Part of speech, the treebank's tags", "NN", []),
        ("grammatical-case", "Case=Loc", []),
        (
            "Dependency tree with subtypes",
            "nsubj:pass",
            ["nsubj:pass nominal subject", "root root of the sentence"],
        ),
    ],
)
def test_kinds_that_give_the_same_results_look_the_same(opened, task, tag, legend):
    page = opened()
    choose(page, task)
    write(page, text="kedi uyudu")
    if "subtypes" in task:
        assert sorted(drawn(page, ".tree .relation")) == [tag, "root"]
    else:
        assert [one.split() for one in texts(page, ".words .chip")] == [["kedi", tag], ["uyudu", tag]]
    assert texts(page, ".legend li") == legend


def test_a_result_of_its_own_kind_is_there_as_json(opened):
    page = opened()
    choose(page, "length")
    write(page, text="kedi")
    assert page.get_by_role("alert").inner_text() == ""
    assert texts(page, ".said > p") == ["The page has no view of this kind of result. See the JSON."]
    unfold(page)
    assert '"characters": 4' in page.locator(".said pre").first.inner_text()


def test_labels(opened):
    page = opened()
    choose(page, "Classification: topics")
    assert page.locator(".headline").inner_text().split() == ["food", "93.0%"]
    assert [row.split() for row in texts(page, ".bars li")] == [
        ["food", "93.0%"],
        ["politics", "5.0%"],
        ["sport", "2.0%"],
    ]
    widths = [bar.bounding_box()["width"] for bar in page.locator(".bars i").all()]
    assert widths[1] / widths[0] == pytest.approx(0.05 / 0.93, rel=0.05)
    choose(page, "Classification: nli")
    write(page, text="A cat.", text_pair="A dog.")
    assert page.locator(".headline").inner_text().split() == ["contradiction", "93.0%"]
    assert page.evaluate("calls.at(-1).input") == {"text": "A cat.", "text_pair": "A dog."}
    choose(page, "Classification: topics")
    write(page, text="numbers")  # which an object has in their own order
    assert [row.split() for row in texts(page, ".bars li")][:2] == [["11", "89.0%"], ["0", "1.0%"]]


def test_answers(opened):
    page = opened()
    choose(page, "Question answering")
    assert page.locator(".headline").inner_text().split("\n") == ["by the window", "83.0%"]
    assert texts(page, ".passage mark") == ["by the window"]
    assert page.locator(".passage").inner_text() == "The cat is old.\nIt sleeps by the window."
    write(page, question="Where?", context="Nobody knows.")
    assert page.locator(".headline").inner_text().startswith("No answer in this text")
    assert page.locator("mark").count() == 0


def test_offsets_count_characters_not_units(opened):
    page = opened()
    write(page, text="😀 👩‍🚀 kedi")
    assert page.locator(".words").first.inner_text().split()[-2:] == ["kedi", "NOUN"]
    choose(page, "Named entities")
    write(page, text="😀😀 Mavi Nil 😀")
    assert page.locator(".passage").inner_text() == "😀😀 Mavi Nil LOC 😀"
    choose(page, "Question answering")
    write(page, question="Where?", context="😀 by the window")
    assert texts(page, "mark") == ["by the window"]


def test_typing_runs_and_a_slow_answer_never_overwrites_a_later_one(opened):
    page = opened("?only=ner")
    page.locator(".passage").wait_for()
    page.locator("#text").fill("slow Mavi Nil")
    until(page, "calls.at(-1).input === 'slow Mavi Nil'")
    page.locator("#text").press_sequentially(", London", delay=20)
    assert page.evaluate("calls.filter(one => one.input === 'slow Mavi Nil').map(one => one.aborted)") == [True]
    page.locator("#text").fill("Ada Lovelace")
    page.locator("mark", has_text="Ada Lovelace").wait_for()
    page.wait_for_timeout(1200)  # the slow answer comes meanwhile
    assert texts(page, "mark") == ["Ada Lovelace PER"]


def test_typing_runs_after_a_pause(opened):
    page = opened("?only=ner")
    page.locator(".passage").wait_for()
    page.clock.install()
    page.clock.pause_at(4_000_000_000)
    for text in ("L", "Lo", "London"):
        page.clock.run_for(250)
        page.locator("#text").fill(text)
    page.clock.run_for(250)
    assert page.evaluate("calls.length") == 1  # the example's
    page.clock.run_for(100)
    assert page.evaluate("calls.map(one => one.input)")[1:] == ["London"]


def test_states(opened):
    page = opened("?none")
    page.locator("#status", has_text="No model is served.").wait_for()
    assert not page.locator("#ask").is_visible()
    page = opened("?only=ner")
    page.locator("mark").first.wait_for()
    assert page.locator("h1").inner_text() == "Try your student-ner"
    assert not page.locator("#tasks").is_visible()
    write(page, text="  ")
    assert page.locator("#status").inner_text() == "Type a text to see what the model says."
    assert page.locator(".said > *").count() == 0
    write(page, text="fail")
    assert page.get_by_role("alert").inner_text() == "The model has run out of memory."
    assert page.locator(".said > *").count() == 0
    page.locator("#text").fill("slow")
    page.locator("#status", has_text="Running…").wait_for()
    page.locator(".passage", has_text="slow").wait_for()
    assert page.get_by_role("alert").inner_text() == ""


def test_a_server_that_is_gone_is_said_in_a_sentence(browser, address):
    page = browser.new_page()
    page.route("**/backend.js", lambda route: route.fulfill(path=BACKEND, content_type="text/javascript"))
    page.route("**/models", lambda route: route.abort())
    page.goto(address)
    said = "The server cannot be reached. Start it again, or see whether the network is there."
    page.locator("#error", has_text=said).wait_for(timeout=10_000)
    page.close()


def test_a_token_is_asked_for(opened):
    page = opened("?locked")
    page.locator("#token").wait_for()
    assert page.get_by_role("alert").inner_text() == "A token is needed."
    assert page.evaluate("document.activeElement.id") == "token"
    page.keyboard.type("wrong")
    page.keyboard.press("Enter")
    until(page, "document.getElementById('token').value === ''")
    page.locator("#error", has_text="A token is needed.").wait_for()
    page.locator("#token").fill("secret")
    page.keyboard.press("Enter")
    page.locator(".words").first.wait_for()
    assert not page.locator("#lock").is_visible()
    assert page.get_by_role("alert").inner_text() == ""
    until(page, "document.activeElement.id === 'text'")  # after the last model's answer


@pytest.mark.parametrize("task", TASKS)
def test_markup_shows_as_text(opened, task):
    page = opened("?hostile")
    page.locator(".words").first.wait_for()
    page.locator("#tasks label").nth(TASKS.index(task)).click()
    hostile = "<img src=x onerror=\"console.error('ran')\"> Mavi Nil <script>console.error('ran')</script>"
    names = [box.get_attribute("id") for box in page.locator("textarea").all()]
    write(page, **dict.fromkeys(names, hostile))
    unfold(page)
    assert page.locator("h2").first.inner_text().startswith("<img src=x")
    assert page.locator("img, main script").count() == 0
    assert "<img" in page.locator(".said").first.inner_text()
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 1280


def test_of_a_long_text_the_first_thousand_words_have_tags_and_the_others_on_demand(opened):
    page = opened()
    write(page, text="kedi " * 1_099 + "uyudu")
    card = page.locator(".card").first
    assert card.locator(".words .chip").count() == 1_000
    unfold(page, "100 more words")
    assert texts(card, ".words .chip")[-1].split() == ["uyudu", "VERB"]


@pytest.mark.parametrize("task", TASKS)
def test_a_very_long_text_does_not_freeze_the_page(opened, task):
    page = opened()
    page.locator(".words").first.wait_for()
    choose(page, task)
    names = [box.get_attribute("id") for box in page.locator("textarea").all()]
    page.evaluate("globalThis.longest = 0")
    page.evaluate(
        "new PerformanceObserver((list) => list.getEntries().forEach("
        "(one) => longest = Math.max(longest, one.duration))).observe({ type: 'longtask' })"
    )
    write(page, **dict.fromkeys(names, "kedi " * 4000))
    page.wait_for_timeout(300)
    assert page.evaluate("longest") < 3_000  # on a machine that does other work beside; otherwise a tenth
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 1280
