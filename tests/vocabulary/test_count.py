from collections import Counter

import numpy as np
import pytest

from bistil.corpora import encoding
from bistil.vocabulary.count import count_tokens


@pytest.fixture
def corpus(tiny_lines):
    return [*tiny_lines["en"], *tiny_lines["tr"], "unseen 日本 <mask> x"]


@pytest.mark.parametrize(("chunk_lines", "chunk_characters"), [(4096, 1_000_000), (7, 1_000_000), (4096, 100)])
def test_counts_are_those_of_a_plain_loop(tiny_tokenizer, corpus, monkeypatch, chunk_lines, chunk_characters):
    monkeypatch.setattr(encoding, "CHUNK_LINES", chunk_lines)
    monkeypatch.setattr(encoding, "CHUNK_CHARACTERS", chunk_characters)
    expected = Counter()
    for line in corpus:
        expected.update(tiny_tokenizer(line, add_special_tokens=False)["input_ids"])
    seen = []
    counts = count_tokens(tiny_tokenizer, iter(corpus), seen.append)
    assert counts.dtype == np.int64
    assert counts.tolist() == [expected[number] for number in range(len(tiny_tokenizer))]
    assert sum(seen) == len(corpus)


def test_truncation_left_on_by_an_earlier_call_is_ignored(tiny_tokenizer, corpus):
    whole = count_tokens(tiny_tokenizer, corpus)
    tiny_tokenizer(corpus[0], truncation=True, padding="max_length", max_length=3)
    assert count_tokens(tiny_tokenizer, corpus).tolist() == whole.tolist()


def test_no_lines(tiny_tokenizer):
    assert not count_tokens(tiny_tokenizer, []).any()
