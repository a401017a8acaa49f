"""`bistil delta`: sparse deltas, to show, apply, add up, import and extract."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bistil.errors import BistilError

if TYPE_CHECKING:
    from bistil.sparse.delta import Applicable

delta = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
Deltas = Annotated[
    list[str],
    typer.Argument(metavar="DELTA...", help="Folders or hub ids; 0.5*DELTA gives one the factor 0.5."),
]
Out = Annotated[Path, typer.Option(help="Folder to write; must not exist yet.")]
Base = Annotated[str, typer.Option("--model", help="The base model: folder, hub id, or a bundled: model.")]


@delta.callback()
def _delta() -> None:
    """Sparse deltas: a task or a language in a few megabytes, to apply to a model and to add up.

    \b
    bistil delta info runs/basque/stages/task-teacher-1a2b3c4d5e
    bistil delta apply language/eu task/pos --model FacebookAI/xlm-roberta-base --out pos-eu
    """


@delta.command()
def info(name: Annotated[str, typer.Argument(metavar="DELTA", help="Folder or hub id.")]) -> None:
    """Show what a delta changes and which model it is for.

    \b
    bistil delta info me/basque-pos-delta
    """
    from bistil.sparse import files
    from bistil.sparse.delta import SparseDelta

    folder = files.locate(name)
    one = SparseDelta.load(folder)
    rows = [
        ("kind", one.kind),
        ("base", one.base),
        ("entries", f"{sum(map(len, one.indices.values())):,}"),
        ("density", f"{one.density:.2%}"),
        ("whole tensors", ", ".join(one.dense) or "none"),
        ("head", one.head.get("architecture", "none")),
        ("labels", ", ".join(one.head.get("labels", [])) or "none"),
        ("size", f"{(folder / files.TENSORS).stat().st_size / 1e6:.1f} MB"),
    ]
    for label, value in rows:
        print(f"{label:<14}{value}")
    print()
    width = max(map(len, one.indices), default=0)
    for parameter, index in one.indices.items():
        share = len(index) / max(math.prod(one.shapes[parameter]), 1)
        print(f"{parameter:<{width}}  {'×'.join(map(str, one.shapes[parameter])):>12}  {share:8.2%}")


@delta.command()
def apply(deltas: Deltas, model: Base, out: Out) -> None:
    """Apply deltas to a base model, head included, and write it as a plain transformers folder.

    Without the head of a task, a sentence embedding model stays one.

    \b
    bistil delta apply task/pos --model trimmed --out pos
    bistil delta apply language/eu 0.8*task/pos --model FacebookAI/xlm-roberta-base --out pos-eu
    """
    from bistil.files import check_new
    from bistil.models import teachers
    from bistil.models.folder import save_model
    from bistil.packages import whole_folder
    from bistil.runtime.pooling import Pooling

    check_new(out)
    total = _sum(deltas)
    network, tokenizer = _base(model, total)
    total.merge(network)
    encodes = type(network).__name__.endswith(("Model", "ForMaskedLM"))  # a language delta may bring the latter
    pooling = Pooling.known(teachers.locate(model))
    with whole_folder(out) as folder:
        save_model(network, tokenizer, folder)
        if pooling is not None and encodes:
            pooling.save(folder, network.config.hidden_size)
    print(f"model  {out}")


@delta.command()
def merge(deltas: Deltas, model: Base, out: Out) -> None:
    """Add up deltas of one base model into one delta.

    \b
    bistil delta merge language/eu 0.5*language/es --model FacebookAI/xlm-roberta-base --out language/eu-es
    """
    from bistil.files import check_new
    from bistil.packages import whole_folder

    check_new(out)
    total = _sum(deltas)
    network, _ = _base(model, total)
    one = total.resolved(network)
    with whole_folder(out) as folder:
        one.save(folder)
    print(f"delta  {out}")


@delta.command()
def diff(
    base: Annotated[str, typer.Argument(metavar="BASE", help="The base model that the delta applies to.")],
    tuned: Annotated[str, typer.Argument(metavar="TUNED", help="The fine-tuned model.")],
    out: Out,
) -> None:
    """Extract the difference between two models of one architecture as a delta.

    \b
    bistil delta diff runs/basque/student runs/basque/tasks/pos --out task/pos
    """
    from bistil.files import check_new
    from bistil.packages import whole_folder
    from bistil.sparse.delta import SparseDelta

    check_new(out)
    one = SparseDelta.diff(_model(base, {})[0], _model(tuned, {})[0])
    with whole_folder(out) as folder:
        one.save(folder)
    print(f"delta  {out}, {one.density:.2%} of the shared entries")


@delta.command("import")
def import_(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A pytorch_diff.bin, its folder, or its hub id.")
    ],
    model: Base,
    out: Out,
    kept_tokens: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="kept_tokens.tsv of the trimmed model to apply the delta to."),
    ] = None,
    heads: Annotated[
        bool, typer.Option(help="Import whole tensors too; a language delta's head is not needed.")
    ] = True,
) -> None:
    """Import a delta of the LT-SFT authors. No code in the file is run.

    \b
    bistil delta import cambridgeltl/mbert-lang-sft-eu-small --no-heads \\
        --model google-bert/bert-base-multilingual-cased --out language/eu
    bistil delta import pytorch_diff.bin --model mbert-en-eu --kept-tokens mbert-en-eu/kept_tokens.tsv --out eu
    """
    from bistil.files import check_new
    from bistil.packages import whole_folder
    from bistil.sparse import files, published

    check_new(out)
    path = Path(source)
    if not path.is_file():
        path = files.locate(source, [published.FILE]) / published.FILE
    if not path.is_file():
        raise BistilError(f"{path} does not exist. Give a {published.FILE}, its folder, or its hub id.")
    kept = None if kept_tokens is None else published.kept_ids(kept_tokens)
    one = published.import_published(path, _model(model, {})[0], kept=kept, heads=heads)
    with whole_folder(out) as folder:
        one.save(folder)
    print(f"delta  {out}, {one.density:.2%} of the entries")


def _sum(names: list[str]) -> "Applicable":
    """``["a", "0.5*b"]`` is a + 0.5 · b."""
    from bistil.sparse.delta import DeltaSum, SparseDelta

    terms: list[tuple[SparseDelta, float]] = []
    for text in names:
        factor, star, name = text.partition("*")
        try:
            share = float(factor) if star else 1.0
        except ValueError as error:
            raise BistilError(f"{text!r} is no delta with a factor. Write it as in 0.5*{name}.") from error
        if not math.isfinite(share):
            raise BistilError(f"The factor of {text!r} is not finite. Give a number, as in 0.5*{name}.")
        terms.append((SparseDelta.load(name if star else text), share))
    return DeltaSum(tuple(terms))


def _base(name: str, deltas: "Applicable") -> tuple[Any, Any]:
    """The model that deltas apply to, under the head that one brings, and its tokenizer."""
    import torch

    network, tokenizer = _model(name, next((one.head for one, _ in deltas.terms if one.head), {}))
    values = (value for one, _ in deltas.terms for value in (*one.values.values(), *one.dense.values()))
    # `adapt` trains what was saved in bfloat16 in float32
    return (network.float() if any(value.dtype == torch.float32 for value in values) else network), tokenizer


def _model(name: str, head: Mapping[str, Any]) -> tuple[Any, Any]:
    """The model as it was saved, or the encoder under the head that a delta brings; and the tokenizer."""
    import torch
    import transformers
    from transformers.utils.logging import disable_progress_bar

    from bistil.models import pretrained, teachers
    from bistil.tasks import task_kind, task_kinds

    disable_progress_bar()
    folder = teachers.locate(name)
    network, tokenizer = teachers.load_as_saved(folder)
    task = task_kind(head["task"]) if head.get("task") in task_kinds() else None
    if task and task.head.__name__ == head["architecture"] != type(network).__name__:  # a head of ours
        dtype = next(network.parameters()).dtype
        network = task(tuple(head["labels"])).new_model(folder).to(dtype)
    elif head and type(network).__name__ != head["architecture"]:
        kind: Any = getattr(transformers, head["architecture"], None)
        if not issubclass(kind if isinstance(kind, type) else object, transformers.PreTrainedModel):
            raise BistilError(
                f"The delta's head is of a {head['architecture']}, which transformers does not have. "
                "Give the model with its head as a folder."
            )
        labels = dict(enumerate(head["labels"]))
        dtype = next(network.parameters()).dtype
        with torch.random.fork_rng(devices=[]):  # the random head is replaced by the delta's
            network = pretrained.model(
                kind,
                folder,
                num_labels=len(labels),
                id2label=labels,
                label2id={label: index for index, label in labels.items()},
                dtype=dtype,
            )
        if "task" in head:
            network.config.bistil_task = head["task"]
    for setting, value in head.get("settings", {}).items():  # whether a question may have no answer
        setattr(network.config, setting, value)
    return network.eval(), tokenizer
