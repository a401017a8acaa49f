import re

import conllu
import pytest
import torch
from transformers import XLMRobertaConfig, XLMRobertaModel

from bistil.errors import BistilError
from bistil.tasks import PartOfSpeech, Prediction
from bistil.tasks.words import Sentence

SENTENCE = """\
# sent_id = 1
# text = Evdeki kedi uyudu.
1-2	Evdeki	_	_	_	_	_	_	_	_
1	Evde	ev	NOUN	_	Case=Loc	3	nmod	_	_
2	ki	ki	PART	_	_	1	case	_	_
3	kedi	kedi	NOUN	_	_	4	nsubj	_	_
3.1	boş	_	VERB	_	_	_	_	_	_
4	uyudu	uyu	VERB	_	_	0	root	_	SpaceAfter=No
5	.	.	PUNCT	_	_	4	punct	_	_
"""
TASK = PartOfSpeech(("NOUN", "PART", "PUNCT", "VERB"))


def written(path, text: str, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_words_only(end, encoding, tmp_path):
    text = f"{SENTENCE}\n\n{SENTENCE}".replace("\n", end)
    examples = PartOfSpeech.read(written(tmp_path / "a.conllu", text, encoding))
    assert [example.words for example in examples] == [("Evde", "ki", "kedi", "uyudu", ".")] * 2
    assert [example.gold for example in examples] == [("NOUN", "PART", "NOUN", "VERB", "PUNCT")] * 2
    assert examples[1].source.endswith("a.conllu, sentence at line 12")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\tuyu\t", "\tuyu ", "line 8 has 9 columns"),
        ("2\tki", "x\tki", "line 5: .*id"),
        ("3\tkedi", "_\tkedi", "line 6: word _ comes where word 3 should"),
        ("3\tkedi", "4\tkedi", "line 6: word 4 comes where word 3 should"),
    ],
)
def test_bad_lines_are_named(old, new, message, tmp_path):
    with pytest.raises(BistilError, match=message) as caught:
        PartOfSpeech.read(written(tmp_path / "bad.conllu", SENTENCE.replace(old, new, 1)))
    assert "bad.conllu" in str(caught.value)


def test_a_tag_of_no_treebank_is_an_error_unless_it_is_called_otherwise(tmp_path):
    good = PartOfSpeech.read(written(tmp_path / "good.conllu", SENTENCE))
    old = PartOfSpeech.read(written(tmp_path / "old.conllu", SENTENCE.replace("\tPART\t", "\tCONJ\t")))
    with pytest.raises(BistilError, match=r"old\.conllu, sentence at line 1: 'CONJ' is not one of"):
        PartOfSpeech.from_examples([*good, *old])
    task = PartOfSpeech.from_examples([*good, *(example.renamed({"CONJ": "CCONJ"}) for example in old)])
    assert task.labels == ("CCONJ", "NOUN", "PART", "PUNCT", "VERB")


def test_comments_of_a_document_belong_to_its_first_sentence(tmp_path):
    (example,) = PartOfSpeech.read(written(tmp_path / "a.conllu", f"# newdoc\n\n{SENTENCE}\n\n# the end\n"))
    assert example.lines == ("# newdoc", *SENTENCE.strip().split("\n"))
    with pytest.raises(BistilError, match="holds no sentences"):
        PartOfSpeech.read(written(tmp_path / "b.conllu", "# newdoc\n"))


def test_other_bad_files(tmp_path):
    with pytest.raises(BistilError, match="holds no sentences"):
        PartOfSpeech.read(written(tmp_path / "empty.conllu", "\n\n"))
    with pytest.raises(BistilError, match=r"are read from .conllu, .jsonl, .parquet, not from '.txt'"):
        PartOfSpeech.read(written(tmp_path / "a.txt", SENTENCE))
    bare = PartOfSpeech.read(written(tmp_path / "bare.conllu", SENTENCE.replace("VERB", "_")))
    with pytest.raises(BistilError, match=r"bare.conllu, sentence at line 1: the example has no label"):
        PartOfSpeech.from_examples(bare)


@pytest.mark.realdata
def test_every_word_line_of_the_real_treebanks_is_a_word(realdata):
    for path in sorted((realdata / "ud").glob("*-test.conllu")):
        examples = PartOfSpeech.read(path)
        text = path.read_text(encoding="utf-8")
        lines = re.findall(r"^[0-9]+\t([^\t]+)\t[^\t]+\t([^\t]+)\t", text, flags=re.MULTILINE)
        assert [word for example in examples for word in example.words] == [form for form, _ in lines]
        assert [tag for example in examples for tag in example.gold] == [tag for _, tag in lines]
        assert len(examples) == len(re.findall("^# sent_id", text, flags=re.MULTILINE))


def brute_windows(words, tokenizer, max_length):
    """Tokenize each word by itself and fill windows one word after the other."""
    windows, ids, firsts = [], [0], []
    for word in words:
        pieces = tokenizer.encode(word, add_special_tokens=False)[: max_length - 2] or [tokenizer.unk_token_id]
        if len(ids) + len(pieces) + 1 > max_length:
            windows.append(([*ids, 2], firsts))
            ids, firsts = [0], []
        firsts = [*firsts, len(ids)]
        ids = [*ids, *pieces]
    return [*windows, ([*ids, 2], firsts)]


def long_examples(tiny_lines):
    words = [word for line in tiny_lines["tr"] for word in line.split()]
    odd = ["\u00a0", "x" * 400, "ông ta", *words[:30]]  # nothing left, longer than any window, a space inside
    tags = ("NOUN", "PART", "PUNCT", "VERB") * 100
    return [Sentence(tuple(row), tags[: len(row)]) for row in (words[:250], odd, words[250:253])]


def test_features_of_long_sentences_agree_with_word_by_word_windows(tiny_tokenizer, tiny_lines):
    examples = long_examples(tiny_lines)
    features = iter(TASK.features(examples, tiny_tokenizer, 32))
    for example in examples:
        tags = iter(example.gold)
        for ids, firsts in brute_windows(example.words, tiny_tokenizer, 32):
            feature = next(features)
            assert feature["input_ids"] == ids
            assert len(ids) <= 32
            expected = {position: TASK.labels.index(next(tags)) for position in firsts}
            assert feature["labels"] == [expected.get(position, -100) for position in range(len(ids))]
        assert next(tags, None) is None
    assert next(features, None) is None


def test_collated_labels_are_padded_with_the_ignored_index(tiny_tokenizer, tiny_lines):
    features = TASK.features(long_examples(tiny_lines), tiny_tokenizer, 24)
    batch = TASK.collator(tiny_tokenizer)(features)
    assert batch["labels"].shape == batch["input_ids"].shape
    assert (batch["labels"][batch["attention_mask"] == 0] == -100).all()
    assert int((batch["labels"] != -100).sum()) == 250 + 33 + 3


@pytest.fixture(scope="module")
def xlmr(tiny_tokenizer, tmp_path_factory):
    """An encoder whose positions start after the padding index: 40 rows for 38 tokens."""
    config = XLMRobertaConfig(
        vocab_size=len(tiny_tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=64, max_position_embeddings=40, pad_token_id=1, type_vocab_size=1,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("xlmr")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        XLMRobertaModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(("kind", "length"), [("bert", 128), ("xlmr", 38)])
def test_every_word_of_a_long_sentence_gets_the_tag_of_its_window(
    kind, length, tiny_teacher, xlmr, tiny_tokenizer, tiny_lines
):
    model = TASK.new_model(tiny_teacher if kind == "bert" else xlmr)
    examples = [Sentence(example.words) for example in long_examples(tiny_lines)]
    predictions = TASK.predict(model, tiny_tokenizer, examples, batch_size=3)
    for example, prediction in zip(examples, predictions, strict=True):
        labels, probabilities = [], []
        for ids, firsts in brute_windows(example.words, tiny_tokenizer, length):
            with torch.no_grad():
                rows = model(torch.tensor([ids])).logits[0].softmax(-1)
            labels += [TASK.labels[int(rows[first].argmax())] for first in firsts]
            probabilities += [float(rows[first].max()) for first in firsts]
        assert prediction.labels == tuple(labels)
        assert prediction.probabilities == pytest.approx(probabilities, abs=1e-5)
        assert len(prediction.labels) == len(example.words)


def test_lines_are_cut_into_words_for_a_student(tiny_tokenizer, tiny_lines):
    lines = ['{"tokens": ["JSON"]}', *tiny_lines["tr"][:3]]
    found = TASK.for_student(lines, [], None, None, len(lines))
    assert [one.words for one in found] == [tuple(re.findall(r"\w+|[,.]", line)) for line in lines[1:]]
    assert len(TASK.features(found, tiny_tokenizer, 128)) == 3


def test_accuracy_counts_words_not_sentences():
    gold = [Sentence(("a",), ("NOUN",)), Sentence(("b", "c", "d"), ("VERB", "VERB", "PART"))]
    predictions = [Prediction(("NOUN",), (1.0,)), Prediction(("VERB", "NOUN", "NOUN"), (1.0, 1.0, 1.0))]
    assert TASK.score(gold, predictions) == {"accuracy": 50}
    assert TASK.per_label(gold, predictions)["NOUN"]["precision"] == pytest.approx(100 / 3)
    with pytest.raises(ValueError, match="2 predictions for 3"):
        TASK.score(gold, [predictions[0], Prediction(("VERB", "NOUN"), (1.0, 1.0))])


def test_no_examples_and_no_words(tiny_teacher, tiny_tokenizer):
    model = TASK.new_model(tiny_teacher)
    assert TASK.predict(model, tiny_tokenizer, []) == []
    predictions = TASK.predict(model, tiny_tokenizer, [TASK.parse(""), TASK.parse("Evet")])
    assert [len(prediction.labels) for prediction in predictions] == [0, 1]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("“Evet!” dedi, ama $5 (gelmedi).", "“ Evet ! ” dedi , ama $ 5 ( gelmedi ) ."),
        ("İstanbul'da well-known 3.5\n", "İstanbul'da well-known 3.5"),
        ("हिन्दी में ... नमस्ते।", "हिन्दी में . . . नमस्ते ।"),
        ("öğretmen👩\u200d🏫! ❤\ufe0f👍🏽", "öğretmen 👩\u200d🏫 ! ❤\ufe0f 👍🏽"),
        ("“שלום”.\u200f می\u200cخواهم. e\u0301vet", "“ שלום ” .\u200f می\u200cخواهم . e\u0301vet"),
        ("Evdeki kedi\r\nuyudu.\u2028Evet", "Evdeki kedi uyudu . Evet"),
    ],
)
def test_raw_lines_become_valid_conllu(line, words):
    example = TASK.parse(line)
    assert list(example.words) == words.split()
    tags = tuple(TASK.labels[number % 4] for number in range(len(example.words)))
    (sentence,) = conllu.parse(TASK.render(example, Prediction(tags, (1.0,) * len(tags))))
    assert [(token["form"], token["upos"]) for token in sentence] == list(zip(example.words, tags, strict=True))
    joined = [
        token["form"] + ("" if (token["misc"] or {}).get("SpaceAfter") == "No" else " ") for token in sentence
    ]
    assert "".join(joined).strip() == " ".join(line.split()) == sentence.metadata["text"]


def test_rendering_conllu_changes_the_tags_alone(tmp_path):
    (example,) = PartOfSpeech.read(written(tmp_path / "a.conllu", SENTENCE))
    assert TASK.render(example, Prediction(example.gold, (1.0,) * 5)) == SENTENCE
    other = TASK.render(example, Prediction(("PUNCT",) * 5, (1.0,) * 5))
    assert [line.split("\t")[3] for line in other.splitlines()[2:]] == [
        "_", "PUNCT", "PUNCT", "PUNCT", "VERB", "PUNCT", "PUNCT",
    ]  # fmt: skip


def test_cells_as_datasets_has_them():
    row = {
        "tokens": ["None", "!"],
        "lemmas": ["None", "!"],
        "xpos": ["None", None],
        "feats": ["{'Case': 'Nom', 'Number': 'Sing'}", "None"],
        "head": ["0", "1"],
        "deps": ["[('root', 0)]", "None"],
        "misc": ["{'SpaceAfter': 'No', 'Foreign': None}", "{not Python"],
    }
    example = TASK.parse_row(row)
    assert example.spaced() == [("None", False), ("!", False)]
    assert TASK.render(example, Prediction(("NOUN", "PUNCT"), (1.0, 1.0))).splitlines() == [
        "1\tNone\tNone\tNOUN\t_\tCase=Nom|Number=Sing\t0\t_\t_\tSpaceAfter=No|Foreign",
        "2\t!\t!\tPUNCT\t_\t_\t1\t_\t_\t{not Python",
    ]
