"""The lines of text files as a stream that can be left and taken up again."""

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

from bistil.corpora.encoding import CHUNK_LINES
from bistil.corpora.filters import Filter, Signatures, Tally
from bistil.corpora.formats import Position, records
from bistil.corpora.textfile import TextFile
from bistil.errors import BistilError

_REMEMBERED = 4 * CHUNK_LINES  # places: more lines than are tokenised ahead


@dataclass(frozen=True)
class Place:
    """Between two lines: after so many of a record of a file, and what the filters know there."""

    file: int = 0
    record: Position = ()
    lines: int = 0
    tally: Tally = field(default_factory=Tally)
    seen: Signatures | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Stretch:
    """A part of a file: so many lines from a record on, not beyond ``end``; by default the whole file."""

    file: int
    first: Position = ()
    end: Position = ()
    lines: float = math.inf


class Lines(Iterator[str]):
    """The stripped lines of files that are not empty and pass the filters, file after file, read once.

    ``start`` is a place of an earlier reader of the same files. What lies before it is not read again, but for the
    record that it lies in; a packed file is unpacked again up to it. With ``stretches`` only these are read.

    Text that is not UTF-8, a file that cannot be read, a column that is not there, and files that have no
    text at all raise `BistilError`.
    """

    def __init__(
        self,
        files: Sequence[TextFile],
        start: Place | None = None,
        stretches: Sequence[Stretch] | None = None,
    ) -> None:
        self._files, self._start = files, start or Place()
        self._stretches = stretches or [Stretch(number) for number in range(self._start.file, len(files))]
        filters = files[0].filters
        self._filter = Filter(filters, self._start.tally, self._start.seen) if filters else None
        self._given = 0
        self._places: deque[Place] = deque([self._start], maxlen=_REMEMBERED)
        self._lines = self._read()

    def __next__(self) -> str:
        return next(self._lines)

    @property
    def tally(self) -> Tally:
        """What the filters have kept and dropped."""
        return self._filter.tally if self._filter else Tally()

    def place(self, given: int) -> Place:
        """Where one is after so many lines of this reader, which may have been read some thousands further."""
        place = self._places[given - self._given - 1]
        if self._filter is None:
            return place
        return Place(place.file, place.record, place.lines, place.tally, self._filter.seen(place.tally.kept))

    def _read(self) -> Iterator[str]:
        start, tally = self._start, Tally()
        for stretch in self._stretches:
            number, left = stretch.file, stretch.lines
            file, first = self._files[number], start.record if number == start.file else ()
            for record, texts in records(file.path, file.column, first or stretch.first):
                if left <= 0 or (stretch.end and record >= stretch.end):
                    break
                done = start.lines if record == first else 0
                for count, line in enumerate(chain.from_iterable(map(split, texts)), start=1):
                    if count <= done:
                        continue
                    left -= 1
                    if self._filter is not None:
                        if not self._filter.keeps(line):
                            continue
                        tally = self._filter.tally
                    self._given += 1
                    self._places.append(Place(number, record, count, tally))
                    yield line
        if not self._given and not start.lines:
            names = ", ".join(str(file.path) for file in self._files)
            if (tally := self.tally) != Tally():
                raise BistilError(f"The filters leave no text in {names} (dropped: {tally}). Leave one out.")
            raise BistilError(
                f"There is no text in {names}. Give a file with at least one line that is not blank."
            )


def split(text: str) -> Iterator[str]:
    """The stripped lines of a text that are not empty; as in a file, "\\r" ends one, too."""
    return filter(None, map(str.strip, text.replace("\r", "\n").split("\n")))
