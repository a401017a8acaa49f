"""How results show themselves, as text and in a notebook."""

import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

import bistil
from bistil.runtime.results import Answer, Entity, EntityText, Label, ParsedText, ParsedWord, TaggedText, Word

ODD = '<b>&"kedi"</b>'
TAGGED = TaggedText("Kedi uyudu", (Word("Kedi", 0, 4, "NOUN", 0.98765), Word("uyudu", 5, 10, "VERB", 0.5)))
PARSED = ParsedText(
    "Kedi uyudu", (ParsedWord("Kedi", 0, 4, 2, "nsubj", 0.9), ParsedWord("uyudu", 5, 10, 0, "root", 0.8))
)


def test_one_thing_a_line():
    assert repr(TAGGED).splitlines() == [
        "TaggedText('Kedi uyudu')",
        "  Kedi   NOUN  0.9877",
        "  uyudu  VERB  0.5000",
    ]
    assert repr(PARSED).splitlines()[1:] == [
        "  1   Kedi  2  uyudu  nsubj  0.9000",
        "  2  uyudu  0          root  0.8000",
    ]
    entities = EntityText("Mavi Nil'de", (Entity("Mavi Nil", 0, 8, "LOC", 0.91),), ())
    assert repr(entities).splitlines() == ['EntityText("Mavi Nil\'de")', "  Mavi Nil  LOC  0:8  0.9100"]
    assert repr(Label("taze ekmek", "food", 0.93, {"food": 0.93})) == "Label('food', 0.9300, text='taze ekmek')"
    assert repr(Label("a", "x", 1.0, {}, "b")) == "Label('x', 1.0000, text='a', text_pair='b')"
    answer = Answer("Nerede?", "Bahçede.", "Bahçede", 0, 7, 0.83)
    assert repr(answer) == "Answer('Bahçede', 0.8300, start=0, end=7, question='Nerede?')"
    assert repr(Answer("Kim?", "x", "", None, None, 0.6)) == "Answer('', 0.6000, question='Kim?')"


def test_long_results_are_cut():
    word = Word("kedi", 0, 4, "NOUN", 1.0)
    lines = repr(TaggedText("kedi " * 500, (word,) * 500)).splitlines()
    assert len(lines) == 102
    assert lines[-1] == "  … and 400 more"
    assert len(lines[0]) < 80


def test_a_word_cannot_break_the_table_or_the_terminal():
    shown = repr(TaggedText("x", (Word("a\x1b[31m\x85", 0, 1, "X", 1.0),)))
    assert "\x1b" not in shown
    assert "\x85" not in shown
    assert r"a\x1b[31m\x85" in shown


class Tags(HTMLParser):
    """The tags and attributes of a page, and its text."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize(
    "result",
    [
        TaggedText(ODD, (Word(ODD, 0, len(ODD), ODD, 0.5),)),
        ParsedText(ODD, (ParsedWord(ODD, 0, len(ODD), 0, ODD, 0.5),)),
        EntityText(f"a {ODD} z", (Entity(ODD, 2, 2 + len(ODD), ODD, 0.5),), ()),
        Label(ODD, ODD, 0.5, {ODD: 0.5}, ODD),
        Answer(ODD, f"a {ODD} z", ODD, 2, 2 + len(ODD), 0.5),
        Answer(ODD, ODD, "", None, None, 0.5),
    ],
    ids=lambda result: type(result).__name__,
)
def test_html_is_escaped_and_in_its_own_direction(result):
    page = Tags(result._repr_html_())
    assert "b" not in [tag for tag, _ in page.tags]
    assert ODD in page.text
    for tag, attributes in page.tags:
        if tag in ("p", "td") and attributes:
            assert attributes["dir"] == "auto"
    if isinstance(result, EntityText | Answer) and "mark" in result._repr_html_():
        assert page.text.startswith(f"{ODD}a {ODD}" if isinstance(result, Answer) else f"a {ODD}")


def test_results_need_no_heavy_library():
    code = (
        "import sys, bistil.runtime.results; "
        "print(sorted({'torch', 'transformers', 'numpy', 'pydantic'} & set(sys.modules)))"
    )
    path = str(Path(bistil.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]", done.stderr
