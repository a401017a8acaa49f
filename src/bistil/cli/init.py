"""`bistil init`: a recipe for the user's own files."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bistil.cli.labelmap import label_map
from bistil.errors import BistilError
from bistil.files import write_whole

if TYPE_CHECKING:
    from bistil.recipe.recipe import Recipe

TOKENS_PER_WORD = 1.6  # about what multilingual vocabularies need


def init(
    target: Annotated[
        list[str],
        typer.Option(metavar="CODE", help="Language that has no labels, such as tr; may be repeated."),
    ],
    source_text: Annotated[
        list[str], typer.Option(metavar="TEXT", help="Unlabelled source text: file, glob or folder.")
    ],
    target_text: Annotated[
        list[str],
        typer.Option(
            metavar="TEXT", help="Unlabelled target text: file, glob or folder; of several targets CODE=TEXT."
        ),
    ],
    train: Annotated[
        Path, typer.Option(help="Labelled source file: .jsonl, .tsv, .csv, .parquet, .conllu, .iob2 or .json.")
    ],
    test: Annotated[
        list[str],
        typer.Option(metavar="LANG=FILE", help="Labelled test file of a language; may be repeated."),
    ],
    source: Annotated[str, typer.Option(help="Code of the language that has labels.")] = "en",
    kind: Annotated[
        str | None, typer.Option(help="Kind of task, if the file does not show it, such as ner or parsing.")
    ] = None,
    validation: Annotated[Path | None, typer.Option(help="Labelled source file for validation.")] = None,
    unlabelled: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LANG=FILE", help="Examples without labels, for the teacher to label; may be repeated."
        ),
    ] = None,
    mapped: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="LABEL=LABEL", help="Rename a label of the files; may be repeated."),
    ] = None,
    recipe: Annotated[Path, typer.Option(help="File to write; an existing one is not replaced.")] = Path(
        "recipe.yaml"
    ),
) -> None:
    """Write a recipe for your own files.

    It inspects the files. Comments in the recipe say what was found and what each value means.

    Classification files have the columns text (or premise and hypothesis) and label; .conllu is for POS
    tagging, and with --kind parsing for dependency parsing; .iob2 is for named entity recognition.

    \b
    bistil init --target tr --source-text en.txt --target-text "tr/*.txt" \\
        --train train.en.jsonl --test tr=test.tr.jsonl --test en=test.en.jsonl
    bistil init --target eu --source-text en.txt --target-text eu.txt \\
        --train en-train.conllu --validation en-dev.conllu --test eu=eu-test.conllu
    bistil init --target tr --target eu --source-text en.txt --target-text tr=tr.txt --target-text eu=eu.txt \\
        --train en-train.conllu --test tr=tr-test.conllu --test eu=eu-test.conllu
    """
    if recipe.exists():
        raise BistilError(f"{recipe} exists already. Delete it, or write elsewhere with --recipe.")
    if not recipe.parent.is_dir():
        raise BistilError(f"There is no folder {recipe.parent} for the recipe. Make it, or change --recipe.")
    from bistil.cli.findings import kind_of
    from bistil.recipe.recipe import Recipe
    from bistil.tasks import task_kind

    kind = task_kind(kind or kind_of(train)).kind
    task = {
        "kind": kind,
        "train": str(train),
        "test": _files("test", test),
        "unlabelled": _files("unlabelled", unlabelled or []),
        "label_map": label_map(mapped or []),
    }
    targets = _targets(target, target_text)
    name = "-".join([*(target if len(target) < 4 else ["many"]), kind])
    values: dict[str, Any] = {
        "name": name,
        "source": {"language": source, "text": source_text},
        "target": targets if len(targets) > 1 else targets[0],
        "tasks": [{**task, **({"validation": str(validation)} if validation else {})}],
        "export": {},
        "out": f"runs/{name}",
    }
    checked = Recipe.checked(values, where="init")
    checked.check_files()
    text = _written(checked, str(recipe))
    write_whole(recipe, text)
    print(f"\nWrote {recipe}. Look it over, then: bistil run {recipe}")


def _targets(codes: Sequence[str], texts: Sequence[str]) -> list[dict[str, Any]]:
    """Each target with its text, as a recipe has them."""
    if len(codes) == 1:
        return [{"language": codes[0], "text": list(texts)}]
    found: dict[str, list[str]] = {code: [] for code in codes}
    for option in texts:
        language, path = _named(
            option, "--target-text takes CODE=TEXT with several targets, for example tr=tr.txt"
        )
        if language not in found:
            raise BistilError(f"--target-text has {language}, but --target only {', '.join(codes)}. Add it there.")
        found[language].append(path)
    if missing := [code for code, own in found.items() if not own]:
        raise BistilError(f"--target has {missing[0]} without text. Give --target-text {missing[0]}=TEXT.")
    return [{"language": code, "text": own} for code, own in found.items()]


def _named(option: str, wanted: str) -> tuple[str, str]:
    language, equals, path = option.partition("=")
    if not (language and equals and path):
        raise BistilError(f"{wanted}; got {option!r}.")
    return language, path


def _files(name: str, options: Sequence[str]) -> dict[str, str]:
    files: dict[str, str] = {}
    for option in options:
        language, path = _named(option, f"--{name} takes LANG=FILE, for example tr={name}.tr.jsonl")
        if language in files:
            raise BistilError(f"--{name} gives two files for {language}: {files[language]} and {path}. Give one.")
        files[language] = path
    return files


def _written(recipe: "Recipe", path: str) -> str:
    """The commented recipe; says on the way what is found in the files."""
    from bistil.cli.commented import commented
    from bistil.cli.findings import look_at_labelled, look_at_text
    from bistil.tasks import task_kind

    notes: dict[str, str] = {}

    def found(key: str, file: str, what: object) -> None:
        print(f"{file}: {what}", flush=True)
        notes[key] = f"found: {what}"

    texts = []
    several = len(recipe.targets) > 1
    keys = ["source", *(f"target.{place}" if several else "target" for place in range(len(recipe.targets)))]
    for key, language in zip(keys, recipe.languages, strict=True):
        texts.append(look_at_text(language.text))
        found(f"{key}.text", ", ".join(language.text), texts[-1])
    least = min(texts, key=lambda text: text.words)
    tokens = int(len(texts) * least.words * TOKENS_PER_WORD)
    about = "more than" if least.cut else "about"
    notes["distill.tokens"] = (
        f"one epoch over {'all' if several else 'both'} texts, in equal parts, is {about} "
        f"{tokens:,} tokens; try 100_000 first, then more"
    )

    (task,) = recipe.tasks
    kind = task_kind(task.kind)

    def read(file: Path) -> list[Any]:
        return [example.renamed(task.label_map) for example in kind.read(file)]

    examples = read(task.train)
    train = look_at_labelled(task.train, examples, task.kind)
    found("tasks.0.train", str(task.train), train)
    learned = kind.from_examples(examples)
    others = {"validation": task.validation, **{f"test ({code})": file for code, file in task.test.items()}}
    sizes = []
    for name, file in others.items():
        if file is not None:
            learned.check(other := read(file))
            summary = look_at_labelled(file, other, task.kind)
            print(f"{file}: {summary}", flush=True)
            sizes.append(f"{name}: {summary.examples:,}")
    notes["tasks.0.test"] = f"found: {', '.join(sizes)}"
    counts = []
    for code, file in task.unlabelled.items():
        counts.append(f"{code}: {len(kind.read(file, labelled=False)):,} {kind.unit}")
        print(f"{file}: {counts[-1]}, labels not read", flush=True)
    if counts:
        notes["tasks.0.unlabelled"] = f"found: {', '.join(counts)}"
    if (length := kind.length_for(train.longest)) is not None:
        recipe = recipe.override([f"tasks.0.max_length={length}"])
        notes["tasks.0.max_length"] = f"found: 1 training example in 100 has more than {train.longest} words"
    recipe = recipe.override([f"{key}={value}" for key, value in learned.proposed.items()])
    notes = {**learned.advice, **notes}
    notes["export"] = "the models that are deployed, beside which the trimmed teacher in int8 is measured, too"
    for part in recipe.targets:
        if part.language not in task.test:
            notes["tasks.0.test"] += f"; no {part.language} file, so transfer to it will not be measured"
    heading = (
        f"A recipe for bistil, written by `bistil init` for your files. Change it, then: bistil run {path}\n"
        "Every value has a default, except name, source, target, out, and a task's kind, train and test:\n"
        "lines you do not need can go. Paths start at the folder in which bistil runs."
    )
    return commented(recipe, heading, notes)
