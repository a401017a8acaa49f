import random
import re
from collections import Counter

import datasets
import pytest
import torch
from seqeval.metrics import classification_report, f1_score, precision_score, recall_score
from seqeval.metrics.sequence_labeling import get_entities

from bistil.errors import BistilError
from bistil.tasks import NamedEntities, Prediction
from bistil.tasks.ner import TaggedSentence, spans

TASK = NamedEntities(("O", "B-LOC", "I-LOC", "B-PER", "I-PER"))
MASAKHANER = "Mwakilishi O\nJohn B-PER\nLewis I-PER\n# O\n\nNairobi B-LOC\n. O\n"
UNER = (
    "# sent_id = 1\n# text = Al in New York\n1\tAl\tB-PER\t-\tann\n2\tin\tO\t-\tann\n3\tNew York\tB-LOC\t-\tann\n"
    "\n# sent_id = 2\n1\tOslo\tB-LOC\t-\tann\n"
)
CONLL = "-DOCSTART- -X- -X- O\n\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\n7 CD B-NP O\n"


def written(path, text: str, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_the_formats_of_the_field(end, encoding, tmp_path):
    def read(name, text):
        return NamedEntities.read(written(tmp_path / name, text.replace("\n", end), encoding))

    found = read("swa.txt", MASAKHANER)
    assert [one.words for one in found] == [("Mwakilishi", "John", "Lewis", "#"), ("Nairobi", ".")]
    assert found[0].gold == ("O", "B-PER", "I-PER", "O")
    assert found[1].source.endswith("swa.txt, sentence at line 6")
    found = read("uner.iob2", UNER)
    assert [one.words for one in found] == [("Al", "in", "New York"), ("Oslo",)]
    assert found[0].gold == ("B-PER", "O", "B-LOC")
    found = read("eng.conll", CONLL)
    assert [(one.words, one.gold) for one in found] == [(("EU", "rejects"), ("B-ORG", "O")), (("7",), ("O",))]


def test_words_that_look_like_something_else(tmp_path):
    text = (
        "1 CD B-NP O\n\n#1 CD B-NP O\n# SYM B-NP O\n20\u00a0000 CD I-NP O\nAnna NNP B-NP B-PER\n\n"
        "# a comment\nAl NNP B-NP O\n"
    )
    found = NamedEntities.read(written(tmp_path / "eng.conll", text))
    assert [one.words for one in found] == [("1",), ("#1", "#", "20\u00a0000", "Anna"), ("Al",)]
    assert found[2].lines == ("# a comment",)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.txt", "Ali\ngeldi\n"),
        ("a.txt", "Ali X\ngeldi\n"),
        ("a.conll", "# newdoc\nAli NNP\ngeldi VBD\n"),
        ("a.iob2", "# id = 1\n1\tAli\t_\t_\n2\tgeldi\t_\t_\n"),
        ("a.jsonl", '{"tokens": ["Ali", "geldi"]}'),
    ],
)
def test_without_labels_no_tags_are_needed(name, text, tmp_path):
    (example,) = NamedEntities.read(written(tmp_path / name, text), labelled=False)
    assert (example.words, example.gold) == (("Ali", "geldi"), None)
    numbers = NamedEntities.read(written(tmp_path / "numbers.txt", "1\n2\n"), labelled=False)
    assert numbers[0].words == ("1", "2")


def test_rows_of_datasets(tmp_path):
    names = datasets.ClassLabel(names=["O", "B-PER", "I-PER"])
    rows = {"tokens": [["Ali", "geldi"], ["Dün"]], "ner_tags": [[1, 0], [0]]}
    features = datasets.Features(
        {"tokens": datasets.List(datasets.Value("string")), "ner_tags": datasets.List(names)}
    )
    datasets.Dataset.from_dict(rows, features).to_parquet(tmp_path / "a.parquet")
    found = NamedEntities.read(tmp_path / "a.parquet")
    assert [(one.words, one.gold) for one in found] == [(("Ali", "geldi"), ("B-PER", "O")), (("Dün",), ("O",))]
    jsonl = written(tmp_path / "a.jsonl", '{"tokens": ["Ali"], "ner_tags": ["B-PER"]}\n')
    assert NamedEntities.read(jsonl)[0].gold == ("B-PER",)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", MASAKHANER.replace("Lewis I-PER", "Lewis"), r"a.txt, line 3 has no tag: 'Lewis'"),
        ("a.txt", MASAKHANER.replace("I-PER", "PER"), r"a.txt, line 3: 'PER' is no IOB2 tag"),
        ("a.iob2", UNER.replace("1\tOslo\tB-LOC\t-\tann", "1\tOslo"), r"a.iob2, line 8 has no tag"),
        ("a.txt", "\n\n", "holds no sentences"),
        ("a.jsonl", '{"tokens": ["a", "b"], "tags": ["O"]}', "line 1 has 2 tokens and 1 tags"),
        ("a.jsonl", '{"words": ["a"]}', "line 1: there is no 'tokens'; there are 'words'"),
        ("a.jsonl", '{"tokens": ["a", ""], "tags": ["O", "O"]}', "line 1: 'tokens' has '' for word 2"),
        ("a.jsonl", '{"tokens": ["a\\tb"], "tags": ["O"]}', r"line 1: 'tokens' has 'a\\tb' for word 1"),
        ("a.jsonl", '{"tokens": ["a\\nb"], "tags": ["O"]}', r"line 1: 'tokens' has 'a\\nb' for word 1"),
    ],
)
def test_bad_files_are_named(name, text, message, tmp_path):
    with pytest.raises(BistilError, match=message):
        NamedEntities.read(written(tmp_path / name, text))


def test_types_of_other_files(tmp_path):
    examples = NamedEntities.read(written(tmp_path / "a.txt", "Ijumaa B-DATE\njioni I-DATE\nJohn B-PERSON\n"))
    with pytest.raises(
        BistilError, match=r"sentence at line 1: entities of the type 'DATE' do not occur .*--map DATE=O"
    ):
        TASK.check(examples)
    renamed = [example.renamed({"DATE": "O", "PERSON": "PER"}) for example in examples]
    TASK.check(renamed)
    assert renamed[0].gold == ("O", "O", "B-PER")
    assert NamedEntities.from_examples(renamed).labels == ("O", "B-PER", "I-PER")  # also what was never inside
    with pytest.raises(BistilError, match="hold no entity"):
        NamedEntities.from_examples([TaggedSentence(("a",), ("O",))])


def test_spans_of_a_worked_example():
    tags = ["B-PER", "I-PER", "O", "I-LOC", "I-LOC", "B-LOC", "I-PER", "B-PER"]
    assert spans(tags) == [(0, 2, "PER"), (3, 5, "LOC"), (5, 6, "LOC"), (6, 7, "PER"), (7, 8, "PER")]


def test_spans_of_other_tag_sets_are_those_of_seqeval():
    chance = random.Random(0)
    tags = ["O", *(f"{place}-{kind}" for place in "BIES" for kind in ("PER", "LOC"))]
    for _ in range(2000):
        row = chance.choices(tags, k=chance.randint(0, 9))
        expected = [(first, last + 1, kind) for kind, first, last in get_entities(row)]
        assert spans(row) == expected, row
        assert spans([tag.replace("E-", "L-").replace("S-", "U-") for tag in row]) == expected
    assert spans(["PAD", "B-PER", "L-PER", "U-LOC", "[CLS]"]) == [(1, 3, "PER"), (3, 4, "LOC")]
    with pytest.raises(BistilError, match="which has PER"):
        NamedEntities(("O", "PAD", "B-PER", "E-PER")).check([TaggedSentence(("a",), ("B-D",))])


def drawn(chance: random.Random) -> list[list[str]]:
    return [[chance.choice(TASK.labels) for _ in range(chance.randint(1, 12))] for _ in range(60)]


@pytest.mark.parametrize("seed", range(5))
def test_scores_agree_with_seqeval(seed):
    chance = random.Random(seed)
    gold = drawn(chance)
    answers = [[tag if chance.random() < 0.7 else chance.choice(TASK.labels) for tag in row] for row in gold]
    examples = [TaggedSentence(("w",) * len(row), tuple(row)) for row in gold]
    predictions = [Prediction(tuple(row), (1.0,) * len(row)) for row in answers]
    scores = TASK.score(examples, predictions)
    assert scores["f1"] == pytest.approx(100 * f1_score(gold, answers))
    assert scores["precision"] == pytest.approx(100 * precision_score(gold, answers))
    assert scores["recall"] == pytest.approx(100 * recall_score(gold, answers))
    report = classification_report(gold, answers, output_dict=True)
    for kind, row in TASK.per_label(examples, predictions).items():
        assert row["f1"] == pytest.approx(100 * report[kind]["f1-score"])
        assert row["support"] == report[kind]["support"]


def test_every_word_gets_a_tag_and_the_output_can_be_read_again(tiny_teacher, tiny_tokenizer, tmp_path):
    model = TASK.new_model(tiny_teacher)
    assert model.config.bistil_task == "ner"
    example = TASK.parse("Ali, Ankara'ya gitti (dün).")
    assert example.words == ("Ali", ",", "Ankara'ya", "gitti", "(", "dün", ")", ".")
    (prediction,) = TASK.predict(model, tiny_tokenizer, [example])
    with torch.no_grad():
        rows = model(
            **tiny_tokenizer([list(example.words)], is_split_into_words=True, return_tensors="pt")
        ).logits[0]
    word_ids = tiny_tokenizer([list(example.words)], is_split_into_words=True).word_ids()
    first = [word_ids.index(word) for word in range(len(example.words))]
    assert prediction.labels == tuple(TASK.labels[int(rows[place].argmax())] for place in first)
    again = NamedEntities.read(written(tmp_path / "out.conll", TASK.render(example, prediction)))
    assert (again[0].words, again[0].gold) == (example.words, prediction.labels)


def test_of_plain_text_the_lines_with_an_entity_are_kept(tiny_teacher, tiny_tokenizer, tiny_lines):
    model, lines = TASK.new_model(tiny_teacher), tiny_lines["tr"][:40]
    sentences = [TASK.parse(line) for line in lines]
    with torch.no_grad():
        for bias in torch.arange(0, 1, 0.02):  # until some lines have an entity and some have none
            model.classifier.bias[:] = torch.tensor([float(bias), 0, 0, 0, 0])
            tagged = [found.labels for found in TASK.predict(model, tiny_tokenizer, sentences)]
            bare = sum(set(labels) == {"O"} for labels in tagged)
            if 0 < bare < len(lines):
                break
    kept = TASK.for_student(lines, [], model, tiny_tokenizer, 40)
    assert 0 < len(kept) < len(lines)
    expected = [one.words for one, labels in zip(sentences, tagged, strict=True) if set(labels) != {"O"}]
    assert [one.words for one in kept] == expected


@pytest.mark.slow
@pytest.mark.realdata
def test_entities_of_the_real_files_are_as_many_as_their_makers_count(realdata):
    expected = {
        "ner/de_pud-test.iob2": {"LOC": 429, "ORG": 192, "PER": 418},
        "ner/en_ewt-test.iob2": {"LOC": 317, "ORG": 322, "PER": 449},
        "ner/en_ewt-train.iob2": {"LOC": 2698, "ORG": 1434, "PER": 2873},
        "ner/zh_gsdsimp-test.iob2": {"LOC": 429, "ORG": 129, "PER": 205},
        "nc/ner/swa_masakhaner2-test.txt": {"DATE": 597, "LOC": 1924, "ORG": 628, "PER": 1180},
        "nc/ner/wol_masakhaner2-test.txt": {"DATE": 169, "LOC": 536, "ORG": 362, "PER": 456},
        "nc/ner/pcm_masakhaner2-test.txt": {"DATE": 390, "LOC": 660, "ORG": 658, "PER": 639},
    }
    for name, counts in expected.items():
        examples = NamedEntities.read(realdata / name)
        found = Counter(kind for example in examples for *_, kind in spans(example.gold))
        # a B- tag a type is what SOURCES.md counts; an I- that continues nothing is one more
        begun = Counter(tag[2:] for example in examples for tag in example.gold if tag.startswith("B-"))
        assert begun == counts, name
        assert sum(found.values()) - sum(begun.values()) <= 1, name
        text = (realdata / name).read_text(encoding="utf-8")
        assert sum(len(example.words) for example in examples) == len(
            re.findall(r"(?m)\s(?:O|[BI]-\w+)(?:\t|$)", text)
        )
