"""Words as every family's tokenizer has them: against the plain sentence, its offsets and the model alone."""

import json
import re
from itertools import chain

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from bistil.errors import BistilError
from bistil.runtime.padding import NO_WORD
from bistil.tasks import Classification, NamedEntities, Parsing, PartOfSpeech, QuestionAnswering
from bistil.tasks.classification import Example
from bistil.tasks.spans import passages
from bistil.tasks.squad import Question
from bistil.tasks.words import Sentence, windows

# The families that README names, by type of the model and layout of the tokenizer.
FAMILIES = {
    "BERT": ("bert", "mbert"),
    "DistilBERT": ("distilbert", "mbert"),
    "RoBERTa": ("roberta", "roberta"),
    "XLM-R": ("xlm-roberta", "xlm_roberta"),
    "DeBERTa": ("deberta-v2", "mdeberta"),
    "ModernBERT": ("modernbert", "modernbert"),
    "mmBERT": ("modernbert", "mmbert"),
    "EuroBERT": ("eurobert", "eurobert"),
}
TAGS = PartOfSpeech(("NOUN", "PUNCT", "VERB"))
ENTITIES = NamedEntities(("O", "B-PER", "I-PER"))
TREES = Parsing(("dep", "punct", "root"))
LONGEST = 60  # tokens that the tiny encoders take


@pytest.fixture(params=FAMILIES)
def family(request, layouts):
    """A type of model and its tokenizer."""
    kind, layout = FAMILIES[request.param]
    return kind, layouts[layout]


@pytest.fixture
def encoder(family, tiny_encoder, tmp_path):
    """A folder with a tiny encoder of the family."""
    kind, tokenizer = family
    padding = tokenizer.pad_token_id
    model = tiny_encoder(
        kind, vocab_size=len(tokenizer), pad_token_id=padding, max_position_embeddings=LONGEST + 2
    )
    model.save_pretrained(tmp_path)
    return tmp_path


def lines(tiny_lines):
    return [*tiny_lines["en"][:4], *tiny_lines["tr"][:4], "a", "日本 çay 's it's don't 12345 ( x )"]


def plain(tokenizer, line):
    """The ids of a plain sentence, and the number of the word that each is of, by offsets; None in the frame."""
    encoded = tokenizer(line, return_offsets_mapping=True)
    words = [match.span() for match in re.finditer(r"\S+", line)]
    special = tokenizer.backend_tokenizer.encode(line).special_tokens_mask
    found = []
    for (_, end), own in zip(encoded["offset_mapping"], special, strict=True):
        found.append(None if own else next(n for n, (_, last) in enumerate(words) if end <= last))
    return encoded["input_ids"], found


def gold(words, task):
    return tuple(f"{n}:dep" if n else "0:root" for n in range(words)) if task is TREES else ("NOUN",) * words


def test_words_have_the_pieces_of_the_plain_sentence(family, tiny_lines):
    _, tokenizer = family
    texts = lines(tiny_lines)
    sentences = [Sentence(tuple(line.split()), gold(len(line.split()), TAGS)) for line in texts]
    trees = [Sentence(one.words, gold(len(one.words), TREES)) for one in sentences]
    found = zip(
        texts, TAGS.features(sentences, tokenizer, 500), TREES.features(trees, tokenizer, 500), strict=True
    )
    for line, tagged, parsed in found:
        ids, words = plain(tokenizer, line)
        assert tagged["input_ids"] == parsed["input_ids"] == ids
        assert parsed["word_ids"] == [NO_WORD if word is None else word for word in words]
        firsts = {words.index(word) for word in range(len(line.split()))}
        assert {place for place, label in enumerate(tagged["labels"]) if label != -100} == firsts


@pytest.mark.parametrize("task", [TAGS, ENTITIES], ids=["pos", "ner"])
def test_predictions_are_those_of_the_plain_sentence(family, encoder, tiny_lines, task):
    _, tokenizer = family
    model = task.new_model(encoder).eval()
    texts = lines(tiny_lines)
    predictions = task.predict(model, tokenizer, [Sentence(tuple(line.split())) for line in texts], batch_size=3)
    for line, prediction in zip(texts, predictions, strict=True):
        ids, words = plain(tokenizer, line)
        with torch.no_grad():
            best = model(torch.tensor([ids])).logits[0].argmax(-1)
        firsts = [words.index(word) for word in range(len(line.split()))]
        assert prediction.labels == tuple(task.labels[int(best[place])] for place in firsts)


def test_trees_are_those_of_the_plain_sentence(family, encoder, tiny_lines):
    _, tokenizer = family
    model = TREES.new_model(encoder).eval()
    texts = lines(tiny_lines)
    sentences = [Sentence(tuple(line.split()), gold(len(line.split()), TREES)) for line in texts]
    right = 0
    for line in texts:
        ids, words = plain(tokenizer, line)
        numbers = [NO_WORD if word is None else word for word in words]
        with torch.no_grad():
            arcs = model(
                torch.tensor([ids]), torch.ones(1, len(ids)), word_ids=torch.tensor([numbers])
            ).arc_logits[0]
        right += sum(int(row.argmax()) == word for word, row in enumerate(arcs))
    total = sum(len(one.words) for one in sentences)
    assert TREES.lenient_scores(model, tokenizer, sentences)["uas"] == pytest.approx(100 * right / total)
    assert [len(one.labels) for one in TREES.predict(model, tokenizer, sentences)] == [
        len(s.words) for s in sentences
    ]


@pytest.mark.parametrize("task", [TAGS, TREES], ids=["tags", "trees"])
def test_teachers_learn_without_dropout_of_attention_alone(encoder, task):
    values = json.loads((encoder / "config.json").read_text())
    rates = {name: 0.5 for name in values if "dropout" in name and values[name] is not None}
    (encoder / "config.json").write_text(json.dumps(values | rates))
    network = task.new_model(encoder)
    kept = getattr(network.config, "encoder", network.config).to_dict()
    assert {name: kept[name] for name in rates} == {name: 0.0 if "att" in name else 0.5 for name in rates}


def test_an_empty_word_has_a_tag_too(family, encoder, tmp_path):
    _, tokenizer = family
    (tmp_path / "empty.bio").write_text("\tO\nmavi\tO\n\tB-PER\nkedi\tO\n\n\tO\n", encoding="utf-8")
    sentences = ENTITIES.read(tmp_path / "empty.bio")
    assert [one.words for one in sentences] == [("", "mavi", "", "kedi"), ("",)]
    for feature, tags in zip(ENTITIES.features(sentences, tokenizer, 20), ([0, 0, 1, 0], [0]), strict=True):
        assert [label for label in feature["labels"] if label != -100] == tags
    predictions = ENTITIES.predict(ENTITIES.new_model(encoder), tokenizer, sentences)
    assert [len(one.labels) for one in predictions] == [4, 1]


def test_words_that_no_space_parts_have_none(family):
    """Raw text says where spaces are; XLM-R's tokenizer begins every word as if one were there."""
    _, tokenizer = family
    line = "The teacher reads (again), the doctor sees."
    (feature,) = TAGS.features(
        [Sentence(one.words, ("NOUN",) * len(one.words), one.lines) for one in [TAGS.parse(line)]], tokenizer, 500
    )
    apart = tokenizer(" ".join(TAGS.parse(line).words))["input_ids"]
    marked = tokenizer.tokenize("a") == tokenizer.tokenize(" a")
    assert feature["input_ids"] == (apart if marked else tokenizer(line)["input_ids"])


@pytest.mark.parametrize(
    ("layout", "part"),
    [
        ("roberta", {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True}}),
        ("mdeberta", {"pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "never"}}),
        ("mdeberta", {"pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first"}}),
    ],
)
def test_other_ways_to_mark_the_beginning_of_a_word(layouts, tiny_lines, layout, part):
    tokenizer = changed(layouts[layout], ("unk", "mask"), **part)
    for line in lines(tiny_lines):
        (feature,) = TAGS.features([Sentence(tuple(line.split()), gold(len(line.split()), TAGS))], tokenizer, 500)
        assert feature["input_ids"] == tokenizer(line)["input_ids"]


def test_spaces_in_treebanks():
    words = {"1-2": "vámonos", "1": "vamos", "2": "nos", "3": ",", "3.1": "y", "4": "日本", "5": "x"}
    misc = {"1-2": "SpaceAfter=No", "3": "Gloss=a|SpaceAfter=No", "3.1": "SpaceAfter=No"}
    lines = ["# text = vámonos,日本 x"]
    lines += ["\t".join([number, word, *"_" * 7, misc.get(number, "_")]) for number, word in words.items()]
    sentence = Sentence(("vamos", "nos", ",", "日本", "x"), lines=tuple(lines))
    assert sentence.spaced() == [("vamos", False), ("nos", True), (",", False), ("日本", False), ("x", True)]


def changed(tokenizer, declared=(), **parts):
    """A copy with other parts of tokenizer.json, and only some of the special tokens declared."""
    raw = json.loads(tokenizer.backend_tokenizer.to_str()) | {"padding": None, "truncation": None} | parts
    names = {f"{name}_token": getattr(tokenizer, f"{name}_token") for name in ("pad", *declared)}
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(raw)), **names)


@pytest.mark.parametrize("declared", [(), ("cls", "sep"), ("bos", "eos")])
@pytest.mark.parametrize("framed", [True, False])
def test_room_is_what_the_tokenizer_leaves(layouts, tiny_lines, framed, declared):
    """Whatever tokens are declared, the post-processor alone frames: all words come once, in full windows."""
    for layout in ("xlm_roberta", "roberta"):
        tokenizer = changed(layouts[layout], declared, **({} if framed else {"post_processor": None}))
        words = tuple(" ".join(tiny_lines["en"][:30]).split())
        first, last = ([0], [2]) if framed else ([], [])
        cut = windows([Sentence(words)], tokenizer, 32)
        whole = tokenizer(" ".join(words), add_special_tokens=False)["input_ids"]
        inner = [one.input_ids[len(first) : len(one.input_ids) - len(last)] for one in cut]
        assert [one.input_ids for one in cut] == [[*first, *ids, *last] for ids in inner]
        assert list(chain(*inner)) == whole
        assert max(len(one.input_ids) for one in cut) == 32
        assert sum(len(one.starts) for one in cut) == len(words)
        tree = Sentence(words, gold(len(words), TREES))
        for feature, window in zip(TREES.features([tree], tokenizer, 32), cut, strict=True):
            assert len(feature["word_ids"]) == len(window.input_ids)
            assert [feature["word_ids"].index(word) for word in range(len(window.starts))] == window.starts
            assert feature["word_ids"].count(NO_WORD) == len(first) + len(last)


def unread(*declared):
    """A tokenizer without a frame that reads the letters a and b alone, and has no unknown token."""
    backend = Tokenizer(models.BPE({"a": 0, "b": 1, "[M]": 2}, []))
    backend.add_special_tokens(["[M]"])
    return PreTrainedTokenizerFast(tokenizer_object=backend, **dict.fromkeys(declared, "[M]"))


def test_what_a_tokenizer_leaves_nothing_of_is_a_token_that_exists():
    tokenizer = unread("mask_token")
    sentence = Sentence(("", "a", "日本"), ("NOUN",) * 3)
    (feature,) = TAGS.features([sentence], tokenizer, 20)
    assert feature["input_ids"] == [2, 0, 2]
    assert feature["labels"] == [0, 0, 0]
    (feature,) = Classification(("x", "y")).features([Example(("日",), "x")], tokenizer, 20)
    assert (feature["input_ids"], feature["attention_mask"]) == ([2], [1])
    (passage,) = passages([Question("日", "ab")], tokenizer, 20)
    assert passage.windows[0].inputs["input_ids"] == [2, 0, 1]
    assert passage.windows[0].inputs["attention_mask"] == [1, 1, 1]


@pytest.mark.parametrize(
    ("task", "example"),
    [
        (TAGS, Sentence(("a", "日"), ("NOUN",) * 2, (), "t.bio, sentence at line 7")),
        (TREES, Sentence(("a", "日"), ("0:root", "1:dep"), (), "t.bio, sentence at line 7")),
        (Classification(("x", "y")), Example(("日",), "x", "t.bio, sentence at line 7")),
        (QuestionAnswering(), Question("日", "a", (), source="t.bio, sentence at line 7")),
    ],
)
def test_without_such_a_token_the_line_is_named(task, example):
    with pytest.raises(
        BistilError, match=r"t\.bio, sentence at line 7: .*'日'.*neither an unknown nor a mask token"
    ):
        task.features([example], unread(), 20)


@pytest.mark.parametrize("kind", ["Unigram", "WordPiece"])
def test_what_a_tokenizer_cannot_read_is_named(kind):
    pieces = ["▁", "a", "▁a"]
    backend = Tokenizer(
        models.Unigram([(piece, -1.0) for piece in pieces])
        if kind == "Unigram"
        else models.WordPiece({piece: number for number, piece in enumerate(pieces)}, unk_token="[UNK]")
    )
    backend.pre_tokenizer = pre_tokenizers.Metaspace() if kind == "Unigram" else pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, mask_token="a")
    for task, good, bad in (
        (TAGS, Sentence(("a",), ("NOUN",)), Sentence(("a", "日"), ("NOUN",) * 2, (), "t.bio, line 7")),
        (Classification(("x", "y")), Example(("a",), "x"), Example(("日",), "x", "t.bio, line 7")),
        (QuestionAnswering(), Question("a", "a", ()), Question("a", "日", (), source="t.bio, line 7")),
    ):
        with pytest.raises(BistilError, match=r"t\.bio, line 7: the tokenizer cannot read .*日"):
            task.features([good, bad], tokenizer, 20)


def test_questions_are_windows_of_the_plain_pair(family):
    _, tokenizer = family
    question = Question("who reads the letter?", "the teacher reads the small house near the river, " * 9, ())
    (passage,) = passages([question], tokenizer, 48)
    overlap = len(tokenizer(question.question, add_special_tokens=False)["input_ids"])
    room = 48 - tokenizer.num_special_tokens_to_add(pair=True)
    stride = min(16, (room - min(64, room // 2)) // 2)
    assert overlap < room // 2
    expected = tokenizer(
        question.question,
        question.context,
        truncation="only_second",
        max_length=48,
        stride=stride,
        return_overflowing_tokens=True,
    )["input_ids"]
    assert [window.inputs["input_ids"] for window in passage.windows] == expected
    assert len(expected) > 1
