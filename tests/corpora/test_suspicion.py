"""Mixed-up languages: what is said of texts that are swapped, doubled or foreign, and of sound ones."""

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from bistil.corpora.suspicion import TokenUse, suspicions, token_use
from bistil.corpora.text import files, lines


def use(*counts: int, unknown: float = 0.0, tokens_per_word: float = 1.5) -> TokenUse:
    return TokenUse(np.array(counts), unknown, tokens_per_word)


SOUND = {"en": use(90, 10, 50), "tr": use(5, 100, 60)}


def test_sound_texts_rouse_no_suspicion():
    assert suspicions(SOUND, {"en": use(8, 1, 9), "tr": use(1, 7, 2)}) == []
    assert suspicions(SOUND, {}) == []
    assert suspicions({"en": SOUND["en"]}, {"de": use(8, 1, 9)}) == []


def test_two_corpora_of_one_language():
    # 0.6 + 0.1 of 10 tokens against 0.6 + 0.2: in common are 0.6, 0.1 and 0.2
    (said,) = suspicions({"en": use(6, 1, 3), "tr": use(12, 4, 4)}, {})
    assert said.startswith("The en and tr texts have 90% of their tokens in common")


def test_swapped_corpora_are_found_by_labelled_text():
    swapped = {"en": SOUND["tr"], "tr": SOUND["en"]}
    said = suspicions(swapped, {"en": use(8, 1, 1), "tr": use(0, 7, 3)})
    assert [sentence.split(" has ")[0] for sentence in said] == ["The labelled en text", "The labelled tr text"]
    assert "in common with the tr text" in said[0]
    assert "not swapped" in said[0]


def test_unknown_tokens_and_long_words():
    odd = {"en": use(1, 0, 0, unknown=0.02), "zh-Hans": use(0, 1, 0, tokens_per_word=30)}
    assert suspicions(odd, {}) == [
        "2.0% of the tokens of the en text are unknown to the tokenizer. Check that the text is en, or take a "
        "teacher that knows its script."
    ]
    (said,) = suspicions({"en": use(1, 0), "tr": use(0, 1)}, {"tr": use(0, 1, tokens_per_word=4.6)})
    assert said.startswith("The labelled tr text takes 4.6 tokens a word. Check that the text is tr")


def test_token_use_counts_as_a_loop_does(tiny_tokenizer, tiny_lines):
    sample = [*tiny_lines["en"][:40], "日本 語"]
    ids = [id for line in sample for id in tiny_tokenizer(line, add_special_tokens=False)["input_ids"]]
    found = token_use(tiny_tokenizer, iter(sample))
    assert found.counts.tolist() == [ids.count(id) for id in range(len(tiny_tokenizer))]
    assert found.unknown == ids.count(tiny_tokenizer.unk_token_id) / len(ids) > 0
    assert found.tokens_per_word == len(ids) / len(" ".join(sample).split())
    assert token_use(tiny_tokenizer, []).tokens_per_word == 0


@pytest.mark.realdata
def test_real_texts_sound_and_swapped(realdata):
    """Corpora and treebanks of three languages, of different genres, under one small tokenizer."""
    names = {"en": "en_ewt-dev", "tr": "tr_boun-test", "de": "de_gsd-test"}
    texts = {language: list(lines(files(realdata / f"text/{language}.txt")))[:4000] for language in names}
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    every = (line for part in texts.values() for line in part)
    backend.train_from_iterator(every, trainers.BpeTrainer(vocab_size=8000, show_progress=False))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend)
    corpora = {language: token_use(tokenizer, part) for language, part in texts.items()}
    labelled = {
        language: token_use(tokenizer, sentences(realdata / f"ud/{name}.conllu"))
        for language, name in names.items()
    }
    assert suspicions(corpora, labelled) == []
    mixed_up = {"en": corpora["tr"], "tr": corpora["en"], "de": corpora["de"]}
    assert len(suspicions(mixed_up, labelled)) == 2
    halves = {"en": token_use(tokenizer, texts["en"][::2]), "tr": token_use(tokenizer, texts["en"][1::2])}
    assert "one language" in suspicions(halves, {})[0]


def sentences(path) -> list[str]:
    mark = "# text = "
    return [line.removeprefix(mark) for line in path.read_text().splitlines() if line.startswith(mark)]


def test_ids_beyond_the_number_of_tokens_are_counted():
    backend = Tokenizer(models.BPE({"a": 0, "b": 7, "?": 9}, [], unk_token="?"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="?")
    found = token_use(tokenizer, ["abb", "c"])
    assert {number: int(count) for number, count in enumerate(found.counts) if count} == {0: 1, 7: 2, 9: 1}
    assert found.unknown == 0.25
