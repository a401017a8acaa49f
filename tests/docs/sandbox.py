"""The files and models that the docs name, tiny ones, made when a block first names them.

A page that names another file needs a line in `MAKERS`; one that uses a name of Python without defining it, a line
in `GIVEN`.
"""

import ast
import builtins
import json
import re
import shutil
from collections.abc import Callable
from fnmatch import fnmatch
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from tests import tiny
from tests.docs.pages import ROOT
from transformers import (
    AutoModelForMaskedLM,
    BertConfig,
    BertModel,
    DataCollatorForTokenClassification,
    XLMRobertaConfig,
    XLMRobertaForMaskedLM,
)

from bistil import Recipe, SparseDelta, run
from bistil.corpora.formats import zstd
from bistil.models import e5
from bistil.models.teachers import load_as_saved
from bistil.pipeline.trimmed import save_trimmed
from bistil.sparse.groups import encoder_parameters
from bistil.tasks import task_kind
from bistil.vocabulary import trim_vocabulary

Maker = Callable[[Path], None]
BUNDLED = f"cache/teachers/multilingual-e5-small-{e5.CONVERSION}"


@cache
def _lines() -> dict[str, list[str]]:
    return tiny.lines()


@cache
def _tokenizer() -> Any:
    made = tiny.tokenizer(_lines())
    made.model_max_length = 512
    return made


def _lines_of(path: Path) -> list[str]:
    """Turkish stands for every language but English."""
    return _lines()["en" if re.match(r"en\b|en_|train|.*\.en\.", path.name) else "tr"]


def text(path: Path) -> None:
    """Plain text, compressed where the name says so."""
    content = "\n".join(_lines_of(path)).encode()
    path.write_bytes(zstd.compress(content) if path.suffix == ".zst" else content)


def rows(path: Path, labels: tuple[str, str] = ("food", "object"), pairs: bool = False) -> None:
    """JSON lines with a label; the column ``body`` is as the text."""
    made = []
    for line in _lines_of(path)[:40]:
        label = labels["ekmeği" not in line and "bread" not in line]
        own = {"premise": line, "hypothesis": line} if pairs else {"text": line, "body": line}
        made.append(json.dumps({**own, "label": label}, ensure_ascii=False))
    path.write_text("\n".join(made), encoding="utf-8")


def treebank(path: Path) -> None:
    """CoNLL-U: the first word is the root, nouns hang on it and verbs on what is before them."""
    made = []
    for line in _lines_of(path)[:20]:
        words = line.rstrip(".").split()
        for number, word in enumerate(words, start=1):
            verb = number % 2
            head, relation = (number - 1, "nsubj" if number % 4 else "obj") if number > 1 else (0, "root")
            columns = [number, word, word, "VERB" if verb else "NOUN", "v" if verb else "n", "Case=Nom", head]
            made.append("\t".join(map(str, [*columns, relation, "_", "_"])))
        made.append("")
    path.write_text("\n".join([*made, ""]), encoding="utf-8")


def questions(path: Path) -> None:
    """SQuAD's format: what is the second word?"""
    paragraphs = []
    for number, line in enumerate(_lines_of(path)[:20]):
        answer = line.split()[1]
        asked = {"text": answer, "answer_start": line.index(answer)}
        qas = [{"id": str(number), "question": "Which word is second?", "answers": [asked]}]
        paragraphs.append({"context": line, "qas": qas})
    content = {"version": "1.1", "data": [{"title": "a", "paragraphs": paragraphs}]}
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def alike(path: Path) -> None:
    """STSb's format: two texts, and how many words they share."""
    pairs = zip(_lines_of(path)[:20], _lines_of(path)[20:40], strict=True)
    made = [f"{one}\t{other}\t{len({*one.split()} & {*other.split()})}" for one, other in pairs]
    path.write_text("\n".join(["sentence1\tsentence2\tscore", *made]), encoding="utf-8")


def topics(path: Path) -> None:
    """A table of text and label."""
    made = [
        f"{line}\t{'food' if 'bread' in line or 'ekmeği' in line else 'object'}" for line in _lines_of(path)[:40]
    ]
    path.write_text("\n".join(["text\tlabel", *made]), encoding="utf-8")


def sentences(path: Path) -> None:
    """XQuAD-R's format: that of SQuAD, with each context as one sentence."""
    questions(path)
    content = json.loads(path.read_text(encoding="utf-8"))
    for paragraph in content["data"][0]["paragraphs"]:
        length = len(paragraph["context"])
        paragraph |= {"sentences": [paragraph["context"]], "sentence_breaks": [[0, length]]}
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def entities(path: Path, types: tuple[str, ...] = ("PER", "LOC", "DATE")) -> None:
    """IOB2: some word of each sentence is an entity."""
    made = []
    for number, line in enumerate(_lines_of(path)[:20]):
        for place, word in enumerate(line.split()):
            made.append(f"{word} {f'B-{types[number % len(types)]}' if place == 1 else 'O'}")
        made.append("")
    path.write_text("\n".join(made), encoding="utf-8")


def _saved(path: Path, made: Callable[[], Any]) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made().save_pretrained(path)
    _tokenizer().save_pretrained(path)


def _config(kind: Callable[..., Any], **more: int) -> Any:
    sizes = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 64}
    return kind(vocab_size=len(_tokenizer()), initializer_range=0.2, max_position_embeddings=514, **sizes, **more)


def model(path: Path) -> None:
    """A random XLM-R with its language-modelling head."""
    _saved(path, lambda: XLMRobertaForMaskedLM(_config(XLMRobertaConfig)))


def encoder(path: Path) -> None:
    """The bundled teacher: a BERT without head and pooler, and its pooling."""
    padding = _tokenizer().pad_token_id
    _saved(path, lambda: BertModel(_config(BertConfig, pad_token_id=padding), add_pooling_layer=False))
    e5.POOLING.save(path, 32)


def task_model(path: Path, kind: str, data: Maker, file: str) -> None:
    """A model of a task that has learned nothing, with the labels of a file."""
    (path.parent / file).parent.mkdir(parents=True, exist_ok=True)
    data(path.parent / file)
    model(path.parent / "encoder")
    task = task_kind(kind)
    task.from_examples(task.read(path.parent / file)).new_model(path.parent / "encoder").save_pretrained(path)
    _tokenizer().save_pretrained(path)


def whole_run(path: Path) -> None:
    """What a run leaves: `bistil run` on a task of classification."""
    data = path.parent / "data"
    data.mkdir(exist_ok=True)
    encoder(data / "teacher")
    values = tiny.experiment(data, _lines(), data / "teacher")
    values["tasks"][0]["name"] = "definitions"
    run(Recipe.checked(values | {"out": str(path), "seeds": [0]}), progress=False)


def recipe(path: Path) -> None:
    """A recipe with two tasks, and the files that it names."""
    files = {"en.txt": text, "tr.txt": text, "en_ewt-train.conllu": treebank, "tr_boun-test.conllu": treebank}
    for name, maker in files.items():
        maker(path.parent / name)
    labelled = {"train": "en_ewt-train.conllu", "test": {"tr": "tr_boun-test.conllu"}}
    values = {
        "name": path.stem,
        "source": {"language": "en", "text": "en.txt"},
        "target": {"language": "tr", "text": "tr.txt"},
        "tasks": [{"kind": "pos", **labelled}, {"kind": "parsing", **labelled}],
        "baselines": [],
        "out": "runs/turkish",
    }
    path.write_text(json.dumps(values), encoding="utf-8")


def copied(path: Path) -> None:
    """A folder of the repository."""
    shutil.copytree(ROOT / path.parent.name / path.name, path)


def delta(path: Path) -> None:
    """A sparse delta for the encoder of `model`."""
    model(path / "base")
    base = AutoModelForMaskedLM.from_pretrained(path / "base")
    tuned = AutoModelForMaskedLM.from_pretrained(path / "base")
    group = encoder_parameters(tuned)
    with torch.no_grad():
        for name, parameter in tuned.named_parameters():
            if name in group:
                parameter.view(-1)[:: 20 + len(path.name)] += 0.01 * len(path.name)
    SparseDelta.diff(base.base_model, tuned.base_model).save(path)
    shutil.rmtree(path / "base")


def published(path: Path) -> None:
    """A delta as the authors of LT-SFT publish them: one changed entry of each bias."""
    biases = {
        name: {"size": value.size(), "index_steps": [1], "values": torch.ones(1)}
        for name, value in XLMRobertaForMaskedLM(_config(XLMRobertaConfig)).named_parameters()
        if "encoder" in name and name.endswith("bias")
    }
    torch.save({"diffs": biases, "abs": {}}, path)


def trimmed(path: Path) -> None:
    """A model that `bistil vocab` made smaller."""
    model(path.parent / "whole")
    made = trim_vocabulary(
        *load_as_saved(path.parent / "whole"), {code: iter(own) for code, own in _lines().items()}
    )
    save_trimmed(made, path)


# By the name of a file or folder in the docs. A name in `runs/` is made only if no block before has left it.
MAKERS: dict[str, Maker] = {
    ".venv/bin/activate": Path.touch,
    BUNDLED: encoder,
    "en.txt": text,
    "tr.txt": text,
    "eu.txt": text,
    "de.txt": text,
    "es.txt": text,
    "sw.txt": text,
    "text/de.txt": text,
    "text/eu.txt": text,
    "text/sw.txt": text,
    "texts.txt": text,
    "eu/a.txt": text,
    "tr/a.txt": text,
    "tr/a.txt.zst": text,
    "wiki.jsonl": rows,
    "train.en.jsonl": rows,
    "test.tr.jsonl": rows,
    "lay.jsonl": partial(rows, labels=("e", "n"), pairs=True),
    "en_ewt-train.conllu": treebank,
    "en_ewt-dev.conllu": treebank,
    "tr_boun-test.conllu": treebank,
    "ud/tr_boun-test.conllu": treebank,
    "ud/de_gsd-test.conllu": treebank,
    "train-v1.1.json": questions,
    "xquad.tr.json": questions,
    "xquad-r.en.json": sentences,
    "xquad-r.tr.json": sentences,
    "en-test.txt": text,
    "tr-test.txt": text,
    "stsb-tr.tsv": alike,
    "topics.en.tsv": topics,
    "topics.tr.tsv": topics,
    "swa.txt": entities,
    "recipe.yaml": recipe,
    "turkish.yaml": recipe,
    "recipes/paper": copied,
    "xlm-roberta-base": model,
    "FacebookAI/xlm-roberta-base": model,
    "google-bert/bert-base-multilingual-cased": model,
    "cambridgeltl/mbert-lang-sft-eu-small/pytorch_diff.bin": published,
    "pytorch_diff.bin": published,
    "mbert-en-eu": trimmed,
    "trimmed": model,
    "task/pos": delta,
    "language/eu": delta,
    "language/es": delta,
    "runs/quickstart-tr-default": whole_run,
    "runs/turkish/tasks/pos": partial(task_model, kind="pos", data=treebank, file="train.conllu"),
    "runs/turkish/tasks/parsing": partial(task_model, kind="parsing", data=treebank, file="train.conllu"),
    "runs/basque/student": model,
    "runs/basque/tasks/pos": partial(task_model, kind="pos", data=treebank, file="train.conllu"),
    "runs/swahili/tasks/ner": partial(
        task_model, kind="ner", data=partial(entities, types=("PER", "LOC")), file="train.txt"
    ),
    "runs/id/tasks/nli": partial(
        task_model,
        kind="classification",
        data=partial(rows, labels=("entailment", "neutral"), pairs=True),
        file="train.jsonl",
    ),
}


def _made(name: str) -> Callable[[Path], Path]:
    def give(folder: Path) -> Path:
        make_files(name, folder)
        return folder / name

    return give


def _features(folder: Path) -> list[dict[str, Any]]:
    made = _tokenizer()(_lines()["en"][:8])["input_ids"]
    return [{"input_ids": ids, "attention_mask": [1] * len(ids), "labels": [0] * len(ids)} for ids in made]


def _language(name: str) -> Callable[[Path], SparseDelta]:
    return lambda folder: SparseDelta.load(_made(f"language/{name}")(folder))


# By a name that Python blocks use and none before has defined.
GIVEN: dict[str, Callable[[Path], Any]] = {
    "accuracy": lambda folder: lambda prediction: {"accuracy": 1.0},
    "basque": _language("eu"),
    "batch": lambda folder: _tokenizer()(["Öğretmen okuyor"], return_tensors="pt"),
    "collator": lambda folder: DataCollatorForTokenClassification(_tokenizer()),
    "english": _language("es"),
    "examples": lambda folder: task_kind("pos").read(_made("tr_boun-test.conllu")(folder)),
    "folder": lambda folder: folder / "some",
    "student_folder": _made("runs/turkish/tasks/pos"),
    "task": lambda folder: task_kind("pos").from_examples(GIVEN["examples"](folder)),
    "teacher_folder": _made("runs/turkish/teachers/pos"),
    "train": _features,
    "validation": _features,
}


def make_files(block: str, folder: Path) -> None:
    """Makes what a block names and is not there: by name, below a folder, or by a pattern such as ``tr/*.txt``.

    What it is to write (``--out``) is put away, for the blocks of a page are often several ways to one end.
    """
    for name in re.findall(r"--out (\S+)", block):
        shutil.rmtree(folder / name, ignore_errors=True)
    block = re.sub(r"--out \S+", "", block)
    named = {word.removeprefix("./") for word in re.findall(r"[\w.*?/-]*\w[\w.*?/-]*", block)}
    if "bundled:multilingual-e5-small" in block or "recipe" in block:
        named.add(BUNDLED)
    if "bistil init" in block:  # it writes the recipe
        named.discard("recipe.yaml")
    for name, maker in MAKERS.items():
        path = folder / name
        if not path.exists() and any(_means(word, name) for word in named):
            path.parent.mkdir(parents=True, exist_ok=True)
            maker(path)


def _means(word: str, name: str) -> bool:
    """Whether a word of a block is the name, a pattern for it, or a path above or below it."""
    return fnmatch(name, word) or word.startswith(f"{name}/") or (name.startswith(f"{word}/") and "/" in word)


def give_names(code: str, names: dict[str, Any], folder: Path) -> None:
    """Puts what a block of Python uses and nothing has defined among its names."""
    loaded = {node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)}
    for name in (loaded & GIVEN.keys()) - names.keys() - vars(builtins).keys():
        names[name] = GIVEN[name](folder)
