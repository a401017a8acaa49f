"""What `bistil init` finds in a user's files."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from bistil.corpora.text import files, lines
from bistil.errors import BistilError
from bistil.tasks import installed_tasks, task_kind

MOST_LINES = 1_000_000  # beyond this many, text is long enough for any advice


@dataclass(frozen=True)
class Text:
    """How much unlabelled text there is."""

    files: int
    lines: int
    words: int

    @property
    def cut(self) -> bool:
        """Whether the rest of it was not counted."""
        return self.lines >= MOST_LINES

    def __str__(self) -> str:
        more = "more than " if self.cut else ""
        plural = "" if self.files == 1 else "s"
        return f"{more}{self.lines:,} lines, {more}{self.words:,} words in {self.files:,} file{plural}"


@dataclass(frozen=True)
class Labelled:
    """What a labelled file holds; `longest` is the number of words that 99 % of the examples stay within."""

    unit: str
    columns: tuple[str, ...]
    examples: int
    labels: tuple[tuple[str, int], ...]  # most frequent first
    longest: int

    def __str__(self) -> str:
        total = sum(count for _, count in self.labels)
        shares = [f"{label} {count / total:.0%}" for label, count in self.labels]
        rest = f", and {len(shares) - 8} more" if len(shares) > 8 else ""
        text = f"{self.examples:,} {self.unit}"
        if shares:
            text += f", {len(shares)} labels: {', '.join(shares[:8])}{rest}"
        return f"columns {', '.join(self.columns)}; {text}" if self.columns else text


def kind_of(path: Path) -> str:
    """The kind of task that a labelled file is most likely for: ``.conllu`` is "pos", columns may say another."""
    kinds = {suffix: task.kind for task in installed_tasks() for suffix in task.guessed_from}
    if path.suffix.lower() not in kinds:
        raise BistilError(
            f"{path}: cannot tell the task from {path.suffix!r}. Name it, for example --kind ner; known by "
            f"themselves are {', '.join(kinds)}."
        )
    there = set(task_kind(kinds[path.suffix.lower()]).columns(path)) if path.is_file() else set()
    fitting = [task.kind for task in installed_tasks() if task.row and there.issuperset(task.row)]
    if len(fitting) > 1:
        raise BistilError(f"{path} may be for {', '.join(fitting)}. Name the task: --kind {fitting[0]}.")
    return fitting[0] if fitting else kinds[path.suffix.lower()]


def look_at_text(patterns: Sequence[str]) -> Text:
    """Count the lines and words of text files; missing and empty ones are BistilErrors."""
    paths = files(patterns)
    words = [len(line.split()) for line in islice(lines(paths), MOST_LINES)]
    return Text(len(paths), len(words), sum(words))


def look_at_labelled(path: Path, examples: Sequence[Any], kind: str) -> Labelled:
    """Describe the `examples` that a task of that kind has read from `path`."""
    task = task_kind(kind)
    labels = task.label_counts(examples).most_common()
    lengths = sorted(len(example.text.split()) for example in examples)
    longest = lengths[(len(lengths) - 1) * 99 // 100]
    return Labelled(task.unit, task.columns(path), len(examples), tuple(labels), longest)
