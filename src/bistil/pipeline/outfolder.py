"""The `out` folder of a run: one process holds it, and what bistil did not write there stays."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bistil.files import check_published, repair
from bistil.launch import process_index
from bistil.pipeline.locks import held

LOCK = ".bistil.lock"


@contextmanager
def held_folder(folder: Path, published: Sequence[str]) -> Iterator[None]:
    """Holds an output folder inside the block, in which the folders and files of those names will be published.

    What a killed run left of a publication is repaired first. Raises `BistilError`, before anything runs, where
    another process holds the folder, or where something of those names is not bistil's. Of several processes
    (`torchrun`) the first holds it for all. Example: ``with held_folder(out, ["student", "report.html"]): …``
    """
    if process_index():
        yield
        return
    with held(folder / LOCK, f"The folder {folder}"):
        for name in published:
            repair(folder / name)
            check_published(folder / name)
        yield
