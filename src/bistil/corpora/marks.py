"""Where the streams of several languages are, told by who reads them and kept in a file."""

import json
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict
from multiprocessing.queues import Queue
from pathlib import Path
from queue import Empty
from typing import Any

import torch.multiprocessing
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from torch.utils.data import get_worker_info

from bistil.corpora.blocks import Carry
from bistil.corpora.filters import Tally
from bistil.corpora.lines import Place
from bistil.corpora.shuffled import Mark
from bistil.errors import BistilError
from bistil.files import replacing

_PATIENCE = 60.0  # seconds for what a loader worker has told already


class Marks:
    """The last marks of each language's stream, also of a stream that a loader worker reads.

    Batches are read ahead, so that those who ask are some blocks behind the newest mark.
    """

    def __init__(self, languages: int) -> None:
        self._told: list[deque[Mark]] = [deque() for _ in range(languages)]
        self._here = False
        # made here, for a worker process takes it over when it starts
        self._queue: Queue[tuple[int, Mark]] = torch.multiprocessing.Queue()

    def begin(self, resumed: Sequence[Mark | None]) -> None:
        """To be called where the streams are read, before they are, with the marks from which they go on."""
        self._here = get_worker_info() is None
        if not self._here:
            self._queue.cancel_join_thread()  # a worker must not wait at its end for who no longer asks
        for language, mark in enumerate(resumed):
            if mark is not None:
                self.tell(language, mark)

    def tell(self, language: int, mark: Mark) -> None:
        """Notes a mark of a language."""
        if get_worker_info() is None:
            self._told[language].append(mark)
        else:
            self._queue.put((language, mark))

    def at(self, blocks: Sequence[int]) -> list[Mark | None] | None:
        """The mark of each language after so many training blocks (None after 0), and forgets those before it.

        None in place of the list where one is not known, as in a process that is dealt its batches by another.
        """
        if not any(self._told) and self._queue.empty():
            return None
        found = [self._mark(language, own) if own else None for language, own in enumerate(blocks)]
        return found if all(mark or not own for mark, own in zip(found, blocks, strict=True)) else None

    def _mark(self, language: int, blocks: int) -> Mark | None:
        told = self._told[language]
        while not told or told[-1].first + len(told[-1].blocks) < blocks:
            if self._here:
                return None
            try:
                other, mark = self._queue.get(timeout=_PATIENCE)
            except Empty:
                return None
            self._told[other].append(mark)
        while len(told) > 1 and told[1].first <= blocks:
            told.popleft()
        return told[0].after(blocks) if told[0].first <= blocks else None


def save_marks(path: Path, marks: Sequence[Mark | None], facts: dict[str, Any]) -> None:
    """Writes the marks and what they belong to as one safetensors file, whole or not at all."""
    tensors: dict[str, Any] = {}
    plain: list[dict[str, Any] | None] = []
    for language, mark in enumerate(marks):
        if mark is None or mark.place is None:
            plain.append(None)
            continue
        place, carry = mark.place, mark.carry
        arrays = {"blocks": mark.blocks, "left": mark.left, "rest": carry.rest, "seen": place.seen}
        tensors |= {f"{language}.{name}": array for name, array in arrays.items() if array is not None}
        plain.append(
            {
                "first": mark.first,
                "number": mark.number,
                "carry": {"tokens": carry.tokens, "blocks": carry.blocks},
                "place": {"file": place.file, "record": place.record, "lines": place.lines},
                "tally": asdict(place.tally),
                "filtered": place.seen is not None,
            }
        )
    with replacing(path) as partial:
        save_file(tensors, partial, {"stream": json.dumps({**facts, "marks": plain})})


def load_marks(path: Path) -> tuple[list[Mark | None], dict[str, Any]]:
    """The marks of a file, and what they belong to; one that is damaged raises `BistilError`."""
    try:
        with safe_open(path, "numpy") as file:
            facts = json.loads(file.metadata()["stream"])
            marks = [
                None if mark is None else _mark(mark, language, file)
                for language, mark in enumerate(facts.pop("marks"))
            ]
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise BistilError(f"{path} cannot be read ({error}). Delete its folder, and run again.") from error
    return marks, facts


def _mark(plain: dict[str, Any], language: int, file: Any) -> Mark:
    blocks, left, rest = (file.get_tensor(f"{language}.{name}") for name in ("blocks", "left", "rest"))
    seen = file.get_tensor(f"{language}.seen") if plain["filtered"] else None
    place = plain["place"]
    return Mark(
        plain["first"],
        plain["number"],
        blocks,
        left,
        Carry(rest=rest, **plain["carry"]),
        Place(place["file"], tuple(place["record"]), place["lines"], Tally(**plain["tally"]), seen),
    )
