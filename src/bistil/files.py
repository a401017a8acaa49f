"""Files that are whole or absent, and folders that bistil may replace because it wrote them itself."""

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from stat import S_IMODE
from typing import Any

from bistil.errors import BistilError

MARKER = ".bistil.json"
_LEFT_BY_SYSTEMS = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})
_PROBLEMS = {
    errno.ENOSPC: "No space left on the disk",
    errno.EDQUOT: "No space left on the disk",
    errno.EROFS: "The disk is read-only",
    errno.EACCES: "Permission denied",
    errno.EPERM: "Permission denied",
    112: "No space left on the disk",  # as Windows numbers it
}


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path``, which takes its place when the block ends without an error."""
    partial = _partial(path)
    try:
        yield partial
        flush(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Brings a file to the disk: after a power cut a file that was only renamed there may be empty."""
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def read_json(path: Path) -> Any:
    """The value in a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Writes a value as JSON, whole or not at all."""
    write_whole(path, json.dumps(value, ensure_ascii=False, indent=1) + "\n")


def write_whole(path: Path, text: str) -> None:
    """Writes UTF-8 with plain line feeds, whole or not at all."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


def fingerprint_file(path: Path) -> str:
    """The SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint_input(path: Path) -> str:
    """The same of a file that is only read; this process reads it once for each size and time of change."""
    found = path.stat()
    return _fingerprint_of(path.absolute(), found.st_size, found.st_mtime_ns)


@lru_cache
def _fingerprint_of(path: Path, size: int, changed: int) -> str:
    return fingerprint_file(path)


def fingerprints(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file in a folder by its relative name: ``{"onnx/model.onnx": "9f86…"}``."""
    paths = (path for path in sorted(folder.rglob("*")) if not path.is_dir() or path.is_symlink())
    return {path.relative_to(folder).as_posix(): fingerprint_file(path) for path in paths}


def disk_problem(error: BaseException) -> str | None:
    """What is wrong with the disk if that is what the error says, such as "No space left on the disk".

    Python has a number for it; safetensors, tokenizers and torch say it in their own words.
    """
    text = str(error)
    number = getattr(error, "errno", None)
    if number is None and (coded := re.search(r"(?:os error |code: |Errno )(\d+)", text)):
        number = int(coded[1])
    if number in _PROBLEMS:
        return _PROBLEMS[number]
    # torch's writer says the third, and the fourth where the disk was full when it closed the file
    if any(sign in text for sign in ("No space left", "quota", "PytorchStreamWriter failed", "unexpected pos ")):
        return _PROBLEMS[errno.ENOSPC]
    return None


def system_problem(error: OSError) -> str | None:
    """An error of the system in a sentence with its cure, where it says what the user can put right."""
    if "No usable temporary directory" in str(error):
        return f"{error.strerror}. Set TMPDIR to a folder that you can write to."
    # the second name is where something was to be copied to
    name = error.filename2 or error.filename
    if isinstance(error, shutil.Error) and isinstance(error.args[0], list):
        (_, name, _), *_ = error.args[0]
    if (problem := disk_problem(error)) is not None:
        return f"{problem}{f' for {name}' if name else ''}. Fix that and run again."
    return f"{name} cannot be used: {error.strerror}. Correct the path and run again." if name else None


def check_new(folder: Path) -> None:
    """Raises `BistilError` where something of that name exists."""
    if folder.exists():
        raise BistilError(f"{folder} exists already. Delete it, or write to another folder.")


def check_published(path: Path) -> None:
    """Raises `BistilError` where publishing would overwrite what bistil did not write.

    A folder is bistil's where its marker lists all that is in it, with the same bytes; a file where the marker
    beside it does. What is not there may be written.
    """
    above = next((one for one in path.parents if os.path.lexists(one)), path.parent)
    if os.path.lexists(above) and not above.is_dir():
        raise BistilError(f"{above} is no folder, and one is to be written there. Move it elsewhere.")
    if (other := foreign(path)) is not None:
        raise BistilError(
            f"{other} was not written by bistil, or was changed since, and would be overwritten. "
            "Move it elsewhere, or choose another output folder."
        )


def publish(folder: Path, where: Path, texts: Mapping[str, str] | None = None) -> None:
    """Puts a copy of a folder in its public place, whole or not at all, with a marker that says whose it is.

    ``texts`` are further files by name, in UTF-8, such as ``{"README.md": "# A model"}``. Where the folder was
    published before, what was added to it since stays, such as its ONNX files. Anything else is replaced only
    where bistil wrote it (`check_published`); it is moved aside first, so that a kill at any moment leaves one of
    the two whole, and `repair` restores it.
    """
    repair(where)
    check_published(where)
    further = {name: text.encode() for name, text in (texts or {}).items()}
    listed = {name: [found] for name, found in fingerprints(folder).items()}
    known = listed_files(where)
    there = all((where / name).is_file() for name in {**listed, **further})
    if there and all(own[0] in known.get(name, []) for name, own in listed.items()):
        publish_files(where, texts or {})
        return
    listed |= {name: [hashlib.sha256(content).hexdigest()] for name, content in further.items()}
    fresh, old = _beside(where)
    fresh.mkdir(parents=True)
    mode = fresh.stat().st_mode  # the umask's; a temporary folder, if that is copied, is its owner's alone
    _mark(fresh, {})
    shutil.copytree(folder, fresh, dirs_exist_ok=True)
    for name, content in further.items():
        (fresh / name).write_bytes(content)
    fresh.chmod(S_IMODE(mode))
    _mark(fresh, listed)
    if where.is_dir():
        where.rename(old)
    fresh.rename(where)
    _remove(old)


def repair(where: Path) -> None:
    """Undoes a publication that was killed half-way: what it moved aside stands in its place again."""
    fresh, old = _beside(where)
    if fresh.is_file() and not fresh.is_symlink() and _recorded(where) is not None:
        fresh.unlink()  # of a file of bistil's that was being written
    for left in (fresh, old):
        # a kill may have come before the marker, or after it was removed as the last
        begun = left.is_dir() and {*left.iterdir()} <= {_partial(left / MARKER)}
        if left.exists() and not begun and not (left / MARKER).is_file():
            raise BistilError(f"{left} is in the way, and bistil did not write it. Move it elsewhere.")
    if old.is_dir() and not where.exists():
        old.rename(where)
    _remove(fresh)
    _remove(old)
    for left in _unfinished(where):
        left.unlink()


def publish_files(folder: Path, contents: Mapping[str, str | Path]) -> None:
    """Writes files into a folder that may hold others, each whole or not at all, and notes them in its marker.

    What is there already stays untouched.

    ``contents`` are texts, or files to copy, by name, such as ``onnx/model.onnx``. Raises `BistilError` before
    anything is written where one of them stands there and is not bistil's.
    """
    for name in contents:
        check_published(folder / name)
    folder.mkdir(parents=True, exist_ok=True)
    known = listed_files(folder)
    for name, content in contents.items():
        new = (
            hashlib.sha256(content.encode()).hexdigest() if isinstance(content, str) else fingerprint_file(content)
        )
        if (folder / name).is_file() and fingerprint_file(folder / name) == new:
            continue
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        known.setdefault(name, [])
        _mark(folder, known)  # so that what a kill leaves of the file is known to be bistil's
        with replacing(folder / name) as partial:
            if isinstance(content, str):
                partial.write_text(content, encoding="utf-8", newline="\n")
            else:
                shutil.copyfile(content, partial)
            # The marker comes first and knows both, so that whichever a kill leaves is known to be bistil's; and
            # what was there earlier, by which `publish` knows the model again.
            before = [fingerprint_file(folder / name)] if (folder / name).exists() else []
            known[name] = [one for one in dict.fromkeys([*known.get(name, []), *before]) if one != new] + [new]
            _mark(folder, known)


def _remove(folder: Path) -> None:
    """Removes a folder of bistil's, its marker last, so that what a kill leaves of it is still known as such."""
    if not folder.is_dir():
        return
    for one in folder.iterdir():
        if one.is_dir() and not one.is_symlink():
            shutil.rmtree(one)
        elif one.name != MARKER:
            one.unlink()
    (folder / MARKER).unlink(missing_ok=True)
    folder.rmdir()


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")


def _unfinished(folder: Path) -> list[Path]:
    """What a kill left of files of bistil's that were being written."""
    return [left for name in (MARKER, *listed_files(folder)) if (left := _partial(folder / name)).is_file()]


def _beside(where: Path) -> tuple[Path, Path]:
    return where.with_name(f".{where.name}.partial"), where.with_name(f".{where.name}.old")


def foreign(path: Path) -> Path | None:
    """What bistil did not write at a path, or not so: the path itself, or something in the folder."""
    if path.is_symlink():
        return path
    if path.is_dir():
        listed = listed_files(path)
        if not (path / MARKER).is_file():
            return path if {*path.iterdir()} - {_partial(path / MARKER)} else None
        unfinished = _unfinished(path)
        names = ((one, one.relative_to(path).as_posix()) for one in sorted(path.rglob("*")))
        known = (MARKER, *_LEFT_BY_SYSTEMS)
        files = ((one, name) for one, name in names if one.is_symlink() or not one.is_dir())
        inside = ((one, name) for one, name in files if Path(name).name not in known and one not in unfinished)
        return next((one for one, name in inside if not _same(one, listed.get(name, []))), None)
    if path.exists() and not _same(path, _recorded(path) or []):
        return path
    return None


def _recorded(path: Path) -> list[str] | None:
    """The hashes that a file may have by the marker beside it or the nearest one above; None where it has none."""
    marked = next((folder for folder in path.absolute().parents if (folder / MARKER).is_file()), path.parent)
    return listed_files(marked).get(path.absolute().relative_to(marked.absolute()).as_posix())


def _same(path: Path, known: list[str]) -> bool:
    return bool(known) and not path.is_symlink() and fingerprint_file(path) in known


def listed_files(folder: Path) -> dict[str, list[str]]:
    """What a folder's marker says that bistil wrote there: for each file the hashes it may have."""
    try:
        files: dict[str, list[str]] = read_json(folder / MARKER)["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return files


def _mark(folder: Path, files: Mapping[str, list[str]]) -> None:
    write_json(folder / MARKER, {"written_by": f"bistil {version('bistil')}", "files": files})
