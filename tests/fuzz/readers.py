"""Every reader of files that others wrote, with valid inputs to start from."""

import gzip
import io
import json
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st
from pyarrow import parquet
from tests.fuzz.inputs import Folder, changed, changed_folder

from bistil.cli.findings import look_at_labelled, look_at_text
from bistil.corpora.text import files, lines
from bistil.errors import BistilError
from bistil.evaluation.testfiles import read_test
from bistil.models.teachers import load_as_saved, locate
from bistil.recipe.recipe import Recipe
from bistil.recipe.settings import typed
from bistil.sparse.delta import SparseDelta
from bistil.sparse.published import kept_ids
from bistil.tasks import saved, task_kind
from bistil.tasks.rows import json_row
from bistil.vocabulary.counted import _stored

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

CONLLU = """\
# text = Bahçedeki kuş uçtu
1-2\tBahçedeki\t_\t_\t_\t_\t_\t_\t_\t_
1\tBahçede\tbahçe\tNOUN\t_\t_\t3\tnmod\t_\t_
2\tki\tki\tPART\tPart\t_\t1\tcase\t_\tSpaceAfter=No
3\tkuş\tkuş\tNOUN\t_\tCase=Nom\t4\tnsubj\t_\t_
4\tuçtu\tuç\tVERB\t_\t_\t0\troot\t_\t_
4.1\t_\t_\t_\t_\t_\t_\t_\t_\t_

1\tEvet\tevet\tINTJ\t_\t_\t0\troot\t_\t_
"""
IOB2 = "-DOCSTART- -X- -X- O\n\nEU NNP B-NP B-ORG\n# CD B-NP O\nrejects VBZ B-VP O\n\n7 CD B-NP O\n"
NUMBERED = "# id = 1\n1\tAl\tB-PER\t-\ta\n2\tin\tO\t-\ta\n3\tNew York\tB-LOC\t-\ta\n\n0\tOslo\tB-LOC\t-\ta\n"
TAGGED_ROWS = '{"tokens": ["Ali", "geldi"], "ner_tags": ["B-PER", "O"]}\n{"tokens": [], "tags": []}\n'
TREE_ROWS = '{"tokens": ["Ali", "geldi"], "upos": ["PROPN", "VERB"], "xpos": ["a", null], "head": [2, 0], '
TREE_ROWS += '"deprel": ["nsubj", "root"], "misc": null}\n{"tokens": []}\n'
QUESTION_ROWS = '{"question": "Ne?", "context": "Kuş", "answers": {"text": ["Kuş"], "answer_start": [0]}}\n'
QUESTION_ROWS += (
    '{"id": 2, "question": "Ne?", "context": "Kuş", "answers": [{"text": "uş", "answer_start": "1"}]}\n'
)
ROWS = '{"text": "owl", "label": "bird"}\n{"text": "cat", "label": 1}\n'
PAIRS = '{"premise": "a", "hypothesis": "b", "label": "x", "meta": {"n": [1, 2.5]}}\n{"sentence1": "a"}\n'
TSV = "sentence1_en\tsentence2_en\tlabel\nOne cat.\tAn animal.\tentailment\n"
CSV = 'text,label\r\n"The ""grey"" cat, and\nmore",a\r\nowl,b\r\n'
SQUAD = json.dumps(
    {
        "data": [
            {
                "paragraphs": [
                    {
                        "context": "Kuş bahçede uçtu.",
                        "qas": [
                            {"id": "1", "question": "?", "answers": [{"text": "bahçede", "answer_start": "4"}]},
                            {"id": 2, "question": "Kim?", "is_impossible": True, "answers": []},
                        ],
                    }
                ]
            }
        ]
    },
    indent=1,
)
SENTENCES = json.dumps(
    {
        "data": [
            {
                "paragraphs": [
                    {
                        "context": "Kuş uçtu. Evet.",
                        "sentences": ["Kuş uçtu.", "Evet."],
                        "sentence_breaks": [[0, 9], [10, 15]],
                        "qas": [{"id": "1", "question": "?", "answers": [{"text": "uçtu", "answer_start": 4}]}],
                    }
                ]
            }
        ]
    },
    indent=1,
)
ALIKE = "One cat, here.\tA cat.\t4.75\nAn owl.\tA bird.\t3\n"
BITEXT = '{"en": "A bird.", "tr": "Kuş."}\n{"sentence1": "a", "sentence2": "b", "score": 0.5}\n'
TEXT = "Kuş uçtu.\n\n  Evet.  \r\nthe grey cat\rsleeps\n"
RECIPE = """\
name: basque
source: &s {language: en, text: en.txt}
target: {<<: *s, language: eu, delta: null}
student: {layers: [1, 3], hidden_size: 32}
distill: {tokens: 1_000, learning_rate: 1e-3, arguments: {report_to: [none], bf16: no}}
tasks: [{kind: pos, name: a, train: en.txt, test: {eu: en.txt}, label_map: {0: x}, epochs: [1, 2]}]
baselines: [layer_drop]
seeds: [0, 1]
out: runs/basque
"""
KEPT = "new_id\told_id\ttoken\n0\t0\t<s>\n1\t5\t▁the\n2\t9\ta\n"


@dataclass(frozen=True)
class Reader:
    """Inputs for a reader, and the call; `seconds` are what one input may take, `weight` its share of examples."""

    name: str
    inputs: Callable[[], st.SearchStrategy[bytes] | st.SearchStrategy[Folder]]
    read: Callable[[Path], Any]
    suffix: str = ""
    weight: float = 1.0


def _task(kind: str, *, labelled: bool = True) -> Callable[[Path], None]:
    """What `init`, `eval` and `predict` do with a file, but for the model."""

    def read(path: Path) -> None:
        task = task_kind(kind)
        task.recognises(path)
        examples = task.read(path, labelled=labelled)
        if labelled:
            look_at_labelled(path, examples, kind)
            task.from_examples([example.renamed({"x": "y"}) for example in examples])

    return read


def _tested(path: Path) -> None:
    """What `eval` does with a file for sentence embeddings: alone, and beside itself."""
    for together in ([path], [path, path]):
        with suppress(BistilError):
            read_test(together)
    read_test([path], path)


def _parsed(kind: str, row: bool) -> Callable[[Path], None]:
    def read(path: Path) -> None:
        task = task_kind(kind)(("O", "B-a"))
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
        if row:
            task.parse_row(json_row(text, "the line"))
        else:
            task.parse(text)

    return read


def _text(path: Path) -> None:
    look_at_text([str(path)])
    for _ in lines(files([f"{path}:body"] if path.suffix == ".parquet" else [path])):
        pass


def _recipe(path: Path) -> None:
    recipe = Recipe.load(path)
    recipe.override(["seeds=[3]"])
    typed(recipe.distill.arguments)
    recipe.check_files()


def _teacher(path: Path) -> None:
    load_as_saved(locate(str(path)))


def _of(*seeds: str) -> Callable[[], st.SearchStrategy[bytes]]:
    return lambda: st.one_of([changed(seed.encode()) for seed in seeds])


def _packed(pack: Callable[[bytes], bytes]) -> Callable[[], st.SearchStrategy[bytes]]:
    return lambda: changed(TEXT.encode()).map(pack) | changed(pack(TEXT.encode() * 20))


def _table(columns: dict[str, list[Any]], metadata: dict[bytes, bytes] | None = None) -> bytes:
    buffer = io.BytesIO()
    parquet.write_table(pa.table(columns).replace_schema_metadata(metadata), buffer)
    return buffer.getvalue()


def _tables() -> st.SearchStrategy[bytes]:
    """Parquet of any columns, whose metadata may name classes, and such with changed bytes."""
    features = {
        "label": {"names": ["a", "b"], "_type": "ClassLabel"},
        "tags": [{"names": [], "_type": "ClassLabel"}],
    }
    classes = json.dumps({"info": {"features": features}}).encode()
    cells = [st.integers(-2, 3), st.text(max_size=3), st.floats(), st.binary(max_size=3), st.booleans(), st.none()]
    kinds = st.sampled_from([*cells, *(st.lists(cell, max_size=2) for cell in cells[:2])])
    columns = kinds.flatmap(lambda kind: st.lists(kind, min_size=2, max_size=2))
    names = st.sampled_from(
        ["text", "label", "tokens", "ner_tags", "tags", "upos", "context", "answers", "body", "sentence1", "Text"]
    )
    metadata = st.none() | changed(classes).map(lambda value: {b"huggingface": value})
    whole = st.builds(_table, st.dictionaries(names, columns, min_size=1, max_size=4), metadata)
    seed = _table(
        {"text": ["a", "b"], "label": [0, 1], "tokens": [["a"], []], "tags": [[0], []], "body": ["x", None]}
    )
    return whole | whole | changed(seed)


def _bytes_of(make: Callable[[Path], Any]) -> Folder:
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


@cache
def model_folder() -> Folder:
    """A tiny classifier as `bistil run` saves it."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    words = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "▁the", "▁cat", "▁", "a", "b", "t"]
    backend = Tokenizer(models.Unigram([(word, -float(at)) for at, word in enumerate(words)], unk_id=3))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokens = dict(zip(("cls", "pad", "sep", "unk", "mask"), words[:5], strict=True))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, model_max_length=16, **{f"{name}_token": token for name, token in tokens.items()}
    )
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=4,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=4,
        max_position_embeddings=16,
        id2label={0: "a", 1: "b"},
        bistil_task="classification",
    )
    with torch.random.fork_rng(devices=[]):
        model = BertForSequenceClassification(config)

    def save(folder: Path) -> None:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)

    return _bytes_of(save)


@cache
def delta_folder() -> Folder:
    """A sparse delta of three tensors."""
    import torch

    shapes = {"a.weight": (3, 4), "a.bias": (300,)}
    indices = {"a.weight": torch.tensor([0, 5, 11]), "a.bias": torch.tensor([299])}
    values = {"a.weight": torch.ones(3), "a.bias": torch.ones(1)}
    head = {"architecture": "X", "labels": ["a", "b"], "task": "pos"}
    delta = SparseDelta(indices, values, {"head.weight": torch.ones(2, 2)}, shapes, "0" * 64, "task", head)
    return _bytes_of(delta.save)


@cache
def counts_folder() -> Folder:
    """Counts as the cache keeps them."""
    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, np.arange(12))
    others = {"lines": 99, "held_out": ["the cat", "a bird"]}
    return {"counts.npy": buffer.getvalue(), "lines.json": json.dumps(others).encode()}


READERS = [
    *(Reader(f"conllu-{kind}", _of(CONLLU), _task(kind), ".conllu") for kind in ("pos", "xpos", "parsing")),
    Reader("conllu-entities", _of(CONLLU, NUMBERED), _task("ner", labelled=False), ".conllu"),
    *(Reader(f"rows-{kind}", _of(TREE_ROWS), _task(kind), ".jsonl") for kind in ("pos", "xpos", "parsing")),
    *(Reader(f"parquet-{kind}", _tables, _task(kind), ".parquet", 0.5) for kind in ("pos", "qa")),
    Reader("questions-jsonl", _of(QUESTION_ROWS), _task("qa"), ".jsonl"),
    Reader("iob2", _of(IOB2, NUMBERED), _task("ner"), ".iob2"),
    Reader("iob2-unlabelled", _of(IOB2, NUMBERED, TEXT), _task("ner", labelled=False), ".tsv"),
    Reader("entities-jsonl", _of(TAGGED_ROWS), _task("ner"), ".jsonl"),
    Reader("jsonl", _of(ROWS, PAIRS), _task("classification"), ".jsonl"),
    Reader("tsv", _of(TSV), _task("classification"), ".tsv"),
    Reader("csv", _of(CSV), _task("classification"), ".csv"),
    Reader("parquet", _tables, _task("classification"), ".parquet", 0.5),
    Reader("entities-parquet", _tables, _task("ner"), ".parquet", 0.5),
    Reader("squad", _of(SQUAD), _task("qa"), ".json"),
    *(
        Reader(f"vectors{suffix}", _of(*seeds), _tested, suffix)
        for suffix, seeds in (
            (".json", [SENTENCES]),
            (".tsv", [ALIKE, TSV]),
            (".csv", [CSV]),
            (".jsonl", [BITEXT, ROWS]),
            (".tr", [TEXT]),
        )
    ),
    Reader("vectors.parquet", _tables, _tested, ".parquet", 0.5),
    Reader("question-line", _of('{"question": "Ne?", "context": "x", "id": 3}'), _parsed("qa", True)),
    Reader("row-line", _of('{"text": "x", "label": "y"}'), _parsed("classification", True)),
    Reader("tokens-line", _of('{"tokens": ["x", "y"]}'), _parsed("ner", True)),
    *(Reader(f"{kind}-line", _of("(Evet!) kuş uçtu"), _parsed(kind, False)) for kind in ("pos", "ner")),
    Reader("text", _of(TEXT), _text, ".txt"),
    Reader("text-gz", _packed(lambda data: gzip.compress(data, mtime=0)), _text, ".gz", 0.5),
    Reader("text-zst", _packed(zstd.compress), _text, ".zst", 0.5),
    Reader("text-jsonl", _of(ROWS), _text, ".jsonl"),
    Reader("text-parquet", _tables, _text, ".parquet", 0.5),
    Reader("recipe", _of(RECIPE), _recipe, ".yaml"),
    Reader("kept-tokens", _of(KEPT), kept_ids, ".tsv"),
    Reader("counts", lambda: changed_folder(counts_folder()), _stored),
    Reader("delta", lambda: changed_folder(delta_folder()), SparseDelta.load),
    Reader("task-model", lambda: changed_folder(model_folder()), saved.load, weight=0.1),
    Reader("teacher", lambda: changed_folder(model_folder()), _teacher, weight=0.1),
]
