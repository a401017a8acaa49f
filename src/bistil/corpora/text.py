"""Unlabelled text: which files a recipe means, and their lines."""

import glob
import gzip
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from bistil.errors import BistilError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def files(patterns: str | Sequence[str]) -> list[Path]:
    """The text files meant by file names, globs (``**`` included) and directories, sorted, each once.

    A directory means the ``.txt`` and ``.gz`` files at any depth below it. A pattern that
    finds nothing raises `BistilError`.

    Example: ``files("corpora/*.txt")`` is ``[Path("corpora/en.txt"), Path("corpora/tr.txt")]``.
    """
    found: set[Path] = set()
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        path = Path(pattern).expanduser()
        if path.is_dir():
            matches = [match for suffix in ("txt", "gz") for match in path.rglob(f"*.{suffix}")]
            missing = f"The text folder {pattern} has no .txt or .gz file. Put the text there"
        elif path.exists():
            matches, missing = [path], ""
        else:
            matches = [Path(match) for match in glob.glob(str(path), recursive=True)]
            missing = f"The text {pattern} does not exist. Give a file, a glob or a folder that is there"
        texts = {match for match in matches if match.is_file()}
        if not texts:
            raise BistilError(f"{missing}, or correct the path.")
        found |= texts
    if not found:
        raise BistilError("No text file is named. Give at least one file, glob or folder.")
    return sorted(found)


def lines(paths: Sequence[Path]) -> Iterator[str]:
    """The stripped lines that are not empty, file after file, as a stream; ``.gz`` is unpacked.

    Text that is not UTF-8, a file that cannot be read, and files that have no text at all
    raise `BistilError`.
    """
    empty = True
    for path in paths:
        for line in _lines(path):
            empty = False
            yield line
    if empty:
        names = ", ".join(str(path) for path in paths)
        raise BistilError(f"There is no text in {names}. Give a file with at least one line that is not blank.")


def _lines(path: Path) -> Iterator[str]:
    offset = 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for raw in file:
                marked = offset == 0 and raw.startswith(BYTE_ORDER_MARK)
                if line := (raw[len(BYTE_ORDER_MARK) :] if marked else raw).decode().strip():
                    yield line
                offset += len(raw)
    except UnicodeDecodeError as error:
        position = offset + error.start
        received = error.object[error.start]
        raise BistilError(
            f"{path} is not UTF-8 text: byte 0x{received:02x} at offset {position}. "
            "Save it as UTF-8 (for example with iconv)."
        ) from None
    except (OSError, EOFError, zlib.error) as error:
        raise BistilError(f"{path} cannot be read ({error}). Check the file and its permissions.") from None
