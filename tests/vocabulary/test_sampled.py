"""Counting on a sample: which lines it reads, and whether the error that it states is one."""

import gzip
import json
import re
from itertools import pairwise

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModel, PreTrainedTokenizerFast

from bistil.corpora import formats, text
from bistil.errors import BistilError
from bistil.vocabulary import trim_vocabulary
from bistil.vocabulary.count import count_runs, count_tokens
from bistil.vocabulary.counted import count_corpus
from bistil.vocabulary.select import Rule, select
from bistil.vocabulary.unkept import unkept_shares

WORDS = 30_000


@pytest.fixture(scope="module")
def words():
    vocabulary = {f"w{number}": number for number in range(WORDS)} | {"?": WORDS}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="?")


def zipf(lines: int, seed: int) -> list[str]:
    """Lines of ten words; five neighbours at a time, as of a document, have a rare word of their own in common."""
    chance = np.random.default_rng(seed)
    drawn = np.minimum(chance.zipf(1.25, (lines, 10)), WORDS - 1)
    drawn[:, 0] = np.repeat(chance.integers(0, WORDS, lines // 5 + 1), 5)[:lines]
    return [" ".join(f"w{word}" for word in row) for row in drawn.tolist()]


@pytest.mark.parametrize("kind", ["txt", "jsonl", "parquet", "txt.gz"])
def test_a_sample_lies_all_over_the_files(tmp_path, monkeypatch, kind):
    lines = [f"line {number}" for number in range(12_000)]
    for shard in range(3):
        own = lines[shard * 4000 : (shard + 1) * 4000]
        path = tmp_path / f"{shard}.{kind}"
        if kind == "parquet":
            parquet.write_table(pyarrow.table({"text": own}), path, row_group_size=300)
        elif kind == "jsonl":
            path.write_text("\n".join(json.dumps({"text": line}) for line in own))
        else:
            content = "\n".join(own).encode()
            path.write_bytes(gzip.compress(content) if kind == "txt.gz" else content)
    files = text.files(tmp_path)
    found = [int(line.split()[1]) for line in text.sampled(files, 960)]
    assert found == sorted(set(found))
    assert 800 <= len(found) <= 960
    assert found == [int(line.split()[1]) for line in text.sampled(files, 960)]
    per_file = np.bincount(np.array(found) // 4000, minlength=3)
    assert all(200 < own < 440 for own in per_file)
    gaps = sum(after - before > 1 for before, after in pairwise(found))
    assert gaps == (2 if kind == "txt.gz" else pytest.approx(55, abs=10))
    assert list(text.sampled(files, 12_000)) == lines


def test_a_sample_reads_only_its_stretches(tmp_path, monkeypatch):
    (tmp_path / "x.txt").write_text("\n".join(f"line {number}" for number in range(50_000)))
    read = []
    records = formats.records

    def noted(*given):
        for record in records(*given):
            read.append(record)
            yield record

    monkeypatch.setattr("bistil.corpora.lines.records", noted)
    assert len(list(text.sampled(text.files(tmp_path), 160))) >= 150
    assert len(read) < 161 + 170 + 10  # the first is to see whether there are more


def test_a_line_that_cannot_be_read_is_found_where_the_error_says(tmp_path, words):
    path = tmp_path / "text.jsonl"
    path.write_text("\n".join('{"text": 7}' if number > 500 else '{"text": "w1"}' for number in range(4000)))
    with pytest.raises(BistilError) as error:
        count_corpus(words, "en", path, sample_lines=100)
    offset = int(re.search(r"the line at offset ([\d,]+)", str(error.value))[1].replace(",", ""))
    assert path.read_bytes()[offset:].split(b"\n")[0] == b'{"text": 7}'
    assert path.read_bytes()[offset - 1 : offset] == b"\n"


def test_runs_by_brute_force(words):
    lines = zipf(5000, 0)
    counts, runs = count_runs(words, lines, 16)
    assert counts.tolist() == count_tokens(words, lines).tolist()
    expected = np.zeros(len(counts), dtype=int)
    for start in range(0, len(lines), 16):
        for word in {word for line in lines[start : start + 16] for word in line.split()}:
            expected[int(word[1:])] += 1
    assert runs.tolist() == expected.tolist()


@pytest.mark.slow
def test_the_stated_error_holds(tmp_path, words):
    """Of 24 samples the true share is above the bound in three at most; the estimate is right on average."""
    ratios, above = [], 0
    for seed in range(12):
        (tmp_path / "x.txt").write_text("\n".join(zipf(12_000, seed)))
        whole = count_corpus(words, "en", tmp_path / "x.txt").counts
        corpora = {"en": count_corpus(words, "en", tmp_path / "x.txt", sample_lines=1200)}
        assert corpora["en"].lines < 1300
        counts = {"en": corpora["en"].counts}
        for least in (1e-9, 2e-4):  # of some 12,000 tokens: one, and three
            chosen = select(counts, Rule(value=least), special=[WORDS], closure=lambda ids: [])
            true = 1 - whole[chosen.ids].sum() / whole.sum()
            stated = unkept_shares(corpora, chosen)["en"]
            ratios.append(stated["not_kept"] / true)
            above += true > stated["not_kept_at_most"]
            assert stated["not_kept_at_most"] < 1.4 * stated["not_kept"]
    assert np.mean(ratios) == pytest.approx(1, abs=0.06)
    assert above <= 3


def test_the_report_states_the_error(tmp_path, tiny_teacher, tiny_tokenizer, tiny_lines):
    (tmp_path / "en.txt").write_text("\n".join(tiny_lines["en"] * 9))
    model = AutoModel.from_pretrained(tiny_teacher, add_pooling_layer=False)
    rule = {"min_probability": 1e-6}
    whole = trim_vocabulary(model, tiny_tokenizer, {"en": tmp_path / "en.txt"}, **rule).report["languages"]["en"]
    found = trim_vocabulary(model, tiny_tokenizer, {"en": tmp_path / "en.txt"}, **rule, sample_lines=320)
    stated = found.report["languages"]["en"]
    assert stated.keys() - whole.keys() == {"not_kept", "not_kept_at_most"}
    assert 0 <= stated["not_kept"] < stated["not_kept_at_most"] < 0.05
    assert stated["counted_tokens"] < whole["counted_tokens"] / 4


def test_tokens_that_are_kept_for_another_language_are_not_lost(tmp_path, words):
    (tmp_path / "en.txt").write_text("\n".join(zipf(3000, 0)))
    (tmp_path / "tr.txt").write_text("\n".join(zipf(3000, 0)[::-1]))
    alone = {"en": count_corpus(words, "en", tmp_path / "en.txt", sample_lines=800)}
    both = alone | {"tr": count_corpus(words, "tr", tmp_path / "tr.txt")}
    found = []
    for corpora in (alone, both):
        counts = {language: corpus.counts for language, corpus in corpora.items()}
        chosen = select(counts, Rule(value=1e-9), special=[WORDS], closure=lambda ids: [])
        found.append(unkept_shares(corpora, chosen))
    assert found[1].keys() == {"en"}  # of which alone there is a sample
    assert found[1]["en"]["not_kept"] < 0.1 * found[0]["en"]["not_kept"]
