"""Live progress with time left: bars on a terminal, plain lines elsewhere."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TaskID, TextColumn
from rich.progress import Progress as Bars
from rich.table import Column

from bistil.launch import process_index

_BAR_WIDTH = 100  # columns of a terminal that has room for a bar beside numbers


class Stage:
    """What a stage in progress is told: how far it is, and a short note to show."""

    def __init__(self, name: str, total: int | None, unit: str, done: int, clock: Callable[[], float]) -> None:
        self.name, self.total, self.unit, self.done = name, total, unit, done
        self.text = ""
        self._clock = clock
        self._first, self._start = done, clock()
        self._changed: Callable[[], None] = lambda: None

    def advance(self, n: int = 1) -> None:
        """Count `n` more units as done."""
        self.done += n
        self._changed()

    def reach(self, position: int, text: str) -> None:
        """Count up to `position`, with a note; without one, work of an earlier run is taken over up to there."""
        if not text:
            self._first, self._start = position, self._clock()
        self.done, self.text = position, text
        self._changed()

    def note(self, text: str) -> None:
        """Show a short text behind the counts, such as ``loss 0.021 · 560 tokens/s``."""
        self.text = text
        self._changed()

    @property
    def seconds(self) -> float:
        """Seconds since the stage began, in this process."""
        return self._clock() - self._start

    @property
    def rate(self) -> float | None:
        """Units a second, measured so far; None while unknown."""
        new = self.done - self._first
        return new / self.seconds if new > 0 and self.seconds > 0 else None

    @property
    def left(self) -> float | None:
        """Seconds left at the rate measured so far; None while unknown."""
        if self.total is None or self.rate is None:
            return None
        return max(self.total - self.done, 0) / self.rate

    def status(self) -> str:
        """For example ``45% · 2 min 00 s left · 54,000 of 120,000 tokens · 550 tokens/s · loss 0.021``."""
        parts = [f"{self.done / self.total:.0%}"] if self.total else []
        if self.left is not None:
            parts.append(f"{duration(self.left)} left")
        if self.total:
            parts.append(f"{self.done:,} of {self.total:,} {self.unit}")
        elif self.done:
            parts.append(f"{self.done:,} {self.unit}")
        if self.rate is not None and self.rate >= 10:
            parts.append(f"{self.rate:,.0f} {self.unit}/s")
        return " · ".join(part.strip() for part in [*parts, self.text] if part)


class Progress:
    """Shows stages as they run. `stream` is stdout; it is written plainly where it is not a terminal.

    Example: ``with Progress().stage("Counting tokens", total=200, unit="lines") as stage: stage.advance(50)``
    """

    every = 30.0  # seconds between plain lines

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        if stream is None:  # of several processes the first speaks for all
            stream = open(os.devnull, "w", encoding="utf-8") if process_index() else sys.stdout  # noqa: SIM115
        self._stream = stream
        self._clock = clock
        self._running = 0
        self._bars: Bars | None = None
        console = Console(file=self._stream, highlight=False)
        # isatty, because rich also counts a pipe as a terminal when FORCE_COLOR is set
        if self._stream.isatty() and not console.is_dumb_terminal:
            rest = Column(ratio=1, no_wrap=True)  # what does not fit on the line is cut off at its end
            columns = (
                SpinnerColumn(),
                TextColumn("{task.description}", markup=False),
                *([BarColumn(24)] if console.width >= _BAR_WIDTH else []),
                TextColumn("{task.fields[status]}", markup=False, table_column=rest),
            )
            self._bars = Bars(*columns, console=console, transient=True, expand=True)

    @classmethod
    def shown(cls, wanted: "bool | Progress") -> "Progress":
        """The progress that a caller gave, or one that shows, or one that does not."""
        if isinstance(wanted, Progress):
            return wanted
        return cls() if wanted else cls(open(os.devnull, "w", encoding="utf-8"))

    @contextmanager
    def stage(self, name: str, total: int | None = None, unit: str = "", done: int = 0) -> Iterator[Stage]:
        """Show a stage until the block ends.

        Args:
            name: what is done, such as "Counting tokens".
            total: how many units there are, if that is known.
            unit: what is counted, in the plural.
            done: where a resumed stage starts; it is kept out of the rate.
        """
        stage = Stage(name, total, unit, done, self._clock)
        with self._bar(stage) if self._bars else self._lines(stage):
            yield stage
        self.say(" · ".join(filter(None, [f"{name}: done in {duration(stage.seconds)}", stage.text])))

    def reused(self, name: str) -> None:
        """Say that a stage's result of an earlier run is used again."""
        self.say(f"{name}: reused")

    def say(self, text: str) -> None:
        """Print a line of its own, above the bars."""
        if self._bars:
            self._bars.console.print(text, markup=False, soft_wrap=True)
        else:
            print(text, file=self._stream, flush=True)

    @contextmanager
    def _bar(self, stage: Stage) -> Iterator[None]:
        bars = self._bars
        assert bars is not None
        task: TaskID = bars.add_task(stage.name, total=stage.total, completed=stage.done, status="")
        stage._changed = lambda: bars.update(task, completed=stage.done, status=stage.status())
        self._running += 1
        bars.start()
        try:
            yield
        finally:
            bars.remove_task(task)
            self._running -= 1
            if not self._running:
                bars.stop()

    @contextmanager
    def _lines(self, stage: Stage) -> Iterator[None]:
        last = self._clock()

        def changed() -> None:
            nonlocal last
            if self._clock() - last >= self.every:
                last = self._clock()
                self.say(f"{stage.name}: {stage.status()}")

        stage._changed = changed
        self.say(f"{stage.name} …")
        yield


def duration(seconds: float) -> str:
    """``duration(200)`` is ``3 min 20 s``; hours are shown with minutes."""
    whole = max(round(seconds), 0)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
