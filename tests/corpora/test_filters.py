"""Filters against the libraries used directly, by brute force, and taken up again."""

import random
from itertools import chain

import pytest

from bistil.corpora import filters as filtering
from bistil.corpora import text
from bistil.corpora.filters import Filters, Tally
from bistil.errors import BistilError

pytest.importorskip("datasketch")
pytest.importorskip("py3langid")

MIXED = [
    "Evdeki kedi bütün gün uyudu ve kimse onu uyandırmadı.",
    "The grey cat slept all day and nobody woke it up.",
    "Kuşlar sabah erkenden bahçedeki ağaçlara kondular.",
    "42",
    "Die Katze hat den ganzen Tag im Haus geschlafen.",
]


def grams(line: str) -> set[str]:
    return {line[start : start + 5] for start in range(max(1, len(line) - 4))}


def opened(tmp_path, lines, filters):
    (tmp_path / "x.txt").write_text("\n".join(lines), encoding="utf-8")
    return text.lines(text.files(tmp_path / "x.txt", filters))


def test_lines_in_another_language_are_dropped(tmp_path):
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    reader = opened(tmp_path, MIXED, Filters("tr"))
    kept = list(reader)
    assert kept == [line for line in MIXED if identifier.classify(line)[0] == "tr" or line == "42"]
    assert kept == [MIXED[0], MIXED[2], MIXED[3]]
    assert reader.tally == Tally(kept=3, other_language=2)
    assert str(reader.tally) == "2 in another language"
    assert list(opened(tmp_path, MIXED, Filters("en-GB"))) == [MIXED[1], MIXED[3]]


def test_near_duplicates_are_those_of_brute_force(tmp_path, tiny_lines):
    """The estimate of 64 hashes errs by some hundredths: pairs are far from the threshold."""
    lines = []
    for number, line in enumerate(chain(tiny_lines["en"][:40], tiny_lines["tr"][:40])):
        words = random.Random(number)
        long = line + "".join(words.choices("abcdefghijklmnopqrstuvwxyz ", k=150)) + "."
        lines += [long, f"{long} again"] if number % 4 == 0 else [long]
    expected = []
    for line in lines:
        similar = [len(grams(line) & grams(one)) / len(grams(line) | grams(one)) for one in expected]
        assert all(abs(share - 0.75) > 0.15 for share in similar)
        if not any(share >= 0.75 for share in similar):
            expected.append(line)
    reader = opened(tmp_path, lines, Filters(near_duplicates=0.75))
    assert list(reader) == expected
    assert reader.tally == Tally(kept=len(expected), near_duplicates=len(lines) - len(expected))
    assert reader.tally.near_duplicates == 20


def test_only_the_last_lines_are_compared_with(tmp_path, monkeypatch):
    monkeypatch.setattr(filtering, "WINDOW", 3)
    a, b, c, d = "one and two", "three and four", "five and six", "seven and eight"
    assert list(opened(tmp_path, [a, b, c, d, b, a], Filters(near_duplicates=0.9))) == [a, b, c, d, a]


@pytest.mark.parametrize("window", [3, 50])
def test_filters_go_on_after_any_line(tmp_path, tiny_lines, monkeypatch, window):
    monkeypatch.setattr(filtering, "WINDOW", window)
    filters = Filters("en", near_duplicates=0.8)
    lines = [*tiny_lines["en"][:60], *tiny_lines["en"][20:50], *MIXED, *tiny_lines["en"][40:70]]
    whole = list(opened(tmp_path, lines, filters))
    assert 0 < len(whole) < len(lines)
    for given in (0, 1, len(whole) // 2, len(whole)):
        reader = opened(tmp_path, lines, filters)
        read = [next(reader) for _ in range(given)]
        place = reader.place(given)
        list(reader)
        again = text.lines(text.files(tmp_path / "x.txt", filters), place)
        assert read + list(again) == whole
        assert again.tally == reader.tally


def test_filters_are_in_fingerprints(tmp_path):
    (tmp_path / "x.jsonl").write_text("{}")
    prints = {
        text.files(tmp_path, filters)[0].fingerprint
        for filters in (None, Filters("en"), Filters("tr"), Filters("en", 0.8), Filters(near_duplicates=0.8))
    }
    assert len(prints) == 5


def test_what_filters_cannot_do(tmp_path):
    with pytest.raises(BistilError, match=r"filters\.language: tlh is none of the languages .*, tr, .* Leave out"):
        Filters("tlh")
    with pytest.raises(BistilError, match=r"The filters leave no text in .*x\.txt \(dropped: 1 in another"):
        list(opened(tmp_path, MIXED[:1], Filters("en")))


def test_libraries_that_are_missing(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "datasketch", None)
    with pytest.raises(BistilError, match=r"filters\.near_duplicates needs datasketch\. .*'bistil\[filters\]'"):
        filtering.Filter(Filters(near_duplicates=0.8))
