"""Pairs of definitions of one concept in two languages, and the text without them."""

import json
from pathlib import Path

import pytest

from bistil.evaluation.embeddings import Bitext
from bistil.evaluation.testfiles import read_test
from bistil.quickstart import definitions
from bistil.quickstart import recipe as quickstart
from bistil.quickstart.definitions import DefinitionFiles, build
from bistil.quickstart.leakage import key
from bistil.quickstart.synsets import Synset


def noun(text: str, *links: str) -> Synset:
    return Synset(True, (text,), links=links)


ENGLISH = {
    "bread-n": noun("a baked loaf of flour"),
    "baker-n": noun("someone who bakes good bread"),
    "foal-n": noun("a horse that is young"),
    "colt-n": noun("A horse that is young!"),  # the definition of another synset
    "ride-v": noun("sit on and control"),
    "ship-n": noun("a vessel"),
    "loaf-n": noun("what a baked loaf of flour is, in short"),  # holds the definition of another
}
TURKISH = {
    "ekmek": noun("Undan yapılan bir yiyecek", "bread-n"),
    "firinci": noun("Ekmek yapan bir kimse", "baker-n"),
    "ekmekci": noun("Ekmek satan bir kimse", "baker-n"),  # two for one concept
    "tay": noun("Genç olan bir at", "foal-n"),
    "binmek": noun("Bu hayvana çıkıp oturmak", "ride-v"),  # cannot be understood alone
    "gemi": noun("Büyük bir deniz taşıtı", "ship-n"),  # the English one is too short
    "somun": noun("Kısaca bir ekmek türü", "loaf-n", "bread2-n"),  # two concepts
    "at": noun("Binilen bir hayvan türü"),  # no link
}


def test_pairs_are_of_one_concept_alone_and_in_no_line_of_text():
    found = build(ENGLISH, TURKISH, "tr")
    assert found.pairs == {"en": ["a baked loaf of flour"], "tr": ["Undan yapılan bir yiyecek"]}
    assert sorted(found.text["en"]) == [
        "a horse that is young",
        "sit on and control",
        "someone who bakes good bread",
    ]
    assert len(found.text["tr"]) == len(TURKISH) - 1
    assert not {*map(key, found.pairs["tr"])} & {*map(key, found.text["tr"])}


def test_the_same_seed_gives_the_same_data():
    many = {f"{number}-n": noun(f"a thing of the number {number}") for number in range(40)}
    theirs = {str(number): noun(f"{number} sayılı bir şey", f"{number}-n") for number in range(40)}
    first, again, other = (build(many, theirs, "tr", most=10, seed=seed) for seed in (0, 0, 1))
    assert first == again != other
    numbers = [[text.split()[place] for text in first.pairs[code]] for code, place in (("en", 5), ("tr", 0))]
    assert numbers[0] == numbers[1]
    assert len({*numbers[0]}) == 10


def test_the_recipe_tests_what_was_prepared(monkeypatch, tmp_path):
    def prepare(target, folder):
        folders = (folder / "text", folder / "test")
        return DefinitionFiles(*({code: own / f"{code}.txt" for code in ("en", target)} for own in folders))

    monkeypatch.setattr(quickstart.definitions, "prepare", prepare)
    recipe = quickstart.recipe_for("tr", "default", tmp_path, embeddings=True)
    assert recipe.embeddings is not None
    assert recipe.embeddings.test["definitions"] == tuple(
        tmp_path / f"data/test/{code}.txt" for code in ("en", "tr")
    )
    assert recipe.distill.embeddings
    assert recipe.tasks == ()


@pytest.mark.slow
@pytest.mark.network
def test_the_smoke_run_finds_pairs(tmp_path):
    """Of 500 a guess finds one in five hundred, 0.2 per cent."""
    from bistil.cli import main

    with pytest.raises(SystemExit) as ended:
        main(["quickstart", "--task", "embeddings", "--size", "smoke", "--out", str(tmp_path)])
    assert ended.value.code == 0
    found = definitions._files(tmp_path / "data", "tr")
    test = read_test([found.pairs[code] for code in ("en", "tr")])
    assert isinstance(test, Bitext)
    assert len(test) == 500
    lines = {code: {*map(key, Path(path).read_text().splitlines())} for code, path in found.text.items()}
    assert not {*map(key, test.ones)} & lines["en"]
    assert not {*map(key, test.others)} & lines["tr"]
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    scores = report["embeddings"][0]["scores"]
    assert scores["teacher"]["definitions"][0] > 20
    assert scores["student_int8"]["definitions"][0] > 1
