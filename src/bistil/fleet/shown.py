"""What a fleet shows while it runs: a table on a terminal, a line for each stage elsewhere."""

import time
from collections import Counter
from collections.abc import Iterable

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from bistil.fleet.work import Done
from bistil.progress import duration

_NAMED = 4  # of the jobs that are running
_STATES = ("done", "reused", "running", "waiting", "failed", "not made")


class Shown:
    """The jobs by label and key, with their titles, as they go on."""

    def __init__(self, titles: dict[tuple[str, str], tuple[str, str]], console: Console | None = None) -> None:
        self._titles, self._console = titles, console or Console(highlight=False, soft_wrap=True)
        self._states = dict.fromkeys(titles, "waiting")
        self._start = time.monotonic()
        self._live = Live(get_renderable=self._table, console=self._console, refresh_per_second=1)

    def __enter__(self) -> "Shown":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def reused(self, jobs: Iterable[tuple[str, str]]) -> None:
        """What an earlier run has made."""
        self._states.update(dict.fromkeys(jobs, "reused"))

    def began(self, job: tuple[str, str]) -> None:
        """A job was given to an executor."""
        self._states[job] = "running"

    def ended(self, done: Done) -> None:
        """A job has ended."""
        job = (done.label, done.key)
        self._states[job] = "failed" if done.problem else "done"
        count = Counter(self._states.values())
        past = sum(count[state] for state in _STATES if state not in ("running", "waiting"))
        said = f"failed: {done.problem}" if done.problem else f"done in {duration(done.seconds)}"
        self._console.print(f"{self._name(job)}: {said} ({past} of {len(self._states)})", markup=False)

    def left_out(self, jobs: Iterable[tuple[str, str]]) -> None:
        """What cannot be made, because what it is made of failed."""
        self._states.update(dict.fromkeys(jobs, "not made"))

    def _name(self, job: tuple[str, str]) -> str:
        return " · ".join(self._titles[job])

    def _table(self) -> Group:
        columns = [state for state in _STATES if state in self._states.values()]
        table = Table("stage", *columns, box=None, pad_edge=False)
        for title in dict.fromkeys(title for _, title in self._titles.values()):
            count = Counter(self._states[job] for job, (_, own) in self._titles.items() if own == title)
            table.add_row(Text(title), *(str(count[state] or "") for state in columns))
        running = [self._name(job) for job, state in self._states.items() if state == "running"]
        more = f" and {len(running) - _NAMED} more" if len(running) > _NAMED else ""
        now = f"{', '.join(running[:_NAMED])}{more}" if running else ""
        return Group(table, Text(now), Text(f"{duration(time.monotonic() - self._start)} so far"))
