"""The artefact store: folders by key on any path that fsspec knows, each whole or absent.

    ROOT/artefacts/KEY/ATTEMPT.json    written last: what it lists is there
    ROOT/artefacts/KEY/ATTEMPT/…       the files of a stage; KEY has the stage's fingerprint
    ROOT/checkpoints/KEY/…             the same of a stage that is being made
    ROOT/leases/KEY/000001.json        who makes it

Nothing is ever written over or renamed, because object stores can do neither whole: what is uploaded under a new
name counts once its list is there. Two machines that make the same stage leave two whole attempts, of which one is
read. Errors of stores have no common base (those of HTTP clients are no OSError), so that every one is caught and
said as a `BistilError`.
"""

import contextlib
import hashlib
import json
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import fsspec
from fsspec.implementations.local import LocalFileSystem

from bistil.errors import BistilError
from bistil.files import disk_problem, fingerprint_file

Kind = Literal["artefacts", "checkpoints"]
KINDS: tuple[Kind, Kind] = ("artefacts", "checkpoints")
LEASES = "leases"
_MARKER = "bistil-store.json"
_CHUNK = 1 << 20
# S3's answer to one of two that create a file at the same moment: it is to ask again
_CONFLICTS = frozenset({"ConditionalRequestConflict", "OperationAborted", "409"})
_PAUSES = (0.1, 0.2, 0.4, 0.8, 1.6)  # seconds


@dataclass(frozen=True)
class Artefact:
    """A whole folder in the store: its key, the attempt that made it, and bytes and SHA-256 of each file.

    Example: ``Artefact("artefacts", "blocks-1f0c…", "5be2…", {"tr.arrow": (1048576, "9f86…")})``.
    """

    kind: Kind
    key: str
    attempt: str
    files: Mapping[str, tuple[int, str]]

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(size for size, _ in self.files.values())


class Store:
    """A store at a folder or a URL: ``Store("s3://bucket/bistil")``, ``Store("/mnt/shared/bistil")``."""

    def __init__(self, url: str) -> None:
        self.url = url
        if not url:
            raise BistilError("The store has no URL. Give a folder, or one such as s3://bucket/bistil.")
        try:
            self.files, self._root = fsspec.url_to_fs(url)
        except Exception as error:
            raise BistilError(
                f"The store {url} cannot be opened: {_reason(error)}. Correct the URL, or mend that."
            ) from error
        self._local = isinstance(self.files, LocalFileSystem)

    def prepare(self) -> None:
        """Makes the store where there is none; `BistilError` where it cannot, before anything is computed.

        A folder that is no store and holds folders of a store's names is somebody's, and stays as it is.
        """
        # asked again, as another machine may have made the store and filled it meanwhile
        if not self.exists and any(map(self.listed, (*KINDS, LEASES))) and not self.exists:
            raise BistilError(
                f"{self.url} is no store, and what lies in its {', '.join(KINDS)} or {LEASES} is not bistil's. "
                "Give a new folder as the store."
            )
        self.create(_MARKER, content=json.dumps({"bistil_store": 1}).encode())
        if self.read(_MARKER) is None:
            raise self._problem(OSError("what was written is not there"), "written to")

    @property
    def exists(self) -> bool:
        """Whether there is a store, and not something else, or nothing."""
        return bool(self.listed(_MARKER))

    def entries(self, kind: Kind = "artefacts") -> list[str]:
        """Keys of which there is anything, whole or not, sorted."""
        return [name_of(path) for path in self.listed(kind)]

    def whole(self, key: str, kind: Kind = "artefacts") -> list[Artefact]:
        """The whole artefacts of a key, mostly one, the first made in front."""
        found = []
        for path in self.listed(kind, key):
            if name_of(path).endswith(".json") and (manifest := self._manifest(path)) is not None:
                files = {name: (own["bytes"], own["sha256"]) for name, own in manifest["files"].items()}
                found.append(
                    (manifest["created"], Artefact(kind, key, name_of(path).removesuffix(".json"), files))
                )
        return [artefact for _, artefact in sorted(found, key=lambda pair: (pair[0], pair[1].attempt))]

    def put(self, key: str, folder: Path, kind: Kind = "artefacts") -> Artefact:
        """Uploads a folder; an error leaves nothing that counts. Raises `BistilError` where the store cannot."""
        attempt = uuid4().hex
        names = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
        files = {name: (path.stat().st_size, fingerprint_file(path)) for name, path in names.items()}
        artefact = Artefact(kind, key, attempt, files)
        manifest = {
            "created": datetime.now(UTC).isoformat(),
            "files": {name: {"bytes": size, "sha256": digest} for name, (size, digest) in files.items()},
        }
        try:
            for name, path in names.items():
                where = self._path(kind, key, attempt, name)
                self._make_parent(where)
                self.files.put_file(str(path), where)
                if self.files.size(where) != files[name][0]:
                    raise OSError(f"{name} did not arrive whole")
            self._write(self._path(kind, key, f"{attempt}.json"), json.dumps(manifest).encode())
        except Exception as error:
            with contextlib.suppress(Exception):  # what is left does not count, and is pruned
                self.remove(artefact)
            raise self._problem(error, "written to") from error
        return artefact

    def fetch(self, artefact: Artefact, folder: Path) -> str | None:
        """Downloads into a folder, whole or, but for a kill, not at all. Returns what is damaged, or None.

        What lies in the folder is removed. Every byte is checked. Raises `BistilError` where the store cannot be
        read or the disk is full.
        """
        whole = False
        try:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            for name in artefact.files:
                if (wrong := self._download(artefact, name, folder / name)) is not None:
                    return wrong
            whole = True
        except Exception as error:
            raise self._problem(error, "read") from error
        finally:
            if not whole:
                shutil.rmtree(folder, ignore_errors=True)
        return None

    def damage(self, artefact: Artefact) -> str | None:
        """What is wrong with an artefact, all of whose bytes are read: ``model.safetensors was changed``."""
        try:
            return next(
                (wrong for name in artefact.files if (wrong := self._download(artefact, name, None))), None
            )
        except Exception as error:
            raise self._problem(error, "read") from error

    def remove(self, artefact: Artefact) -> None:
        """Removes an artefact, first what makes it one."""
        for name in (f"{artefact.attempt}.json", artefact.attempt):
            self.delete(self._path(artefact.kind, artefact.key, name))

    def delete(self, path: str) -> None:
        """Deletes a file or a folder of the store, if it is there."""
        try:
            self.files.rm(path, recursive=True)
        except FileNotFoundError:
            pass
        except Exception as error:
            raise self._problem(error, "written to") from error

    def listed(self, *parts: str, hidden: bool = False) -> list[str]:
        """What lies in a folder of the store, also what is ``hidden``; nothing where there is none."""
        self.files.invalidate_cache()
        try:
            found = self.files.ls(self._path(*parts), detail=False)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except Exception as error:
            raise self._problem(error, "read") from error
        return sorted(path for path in found if hidden or not name_of(path).startswith("."))

    def read(self, *parts: str) -> bytes | None:
        """A small file; None where there is none."""
        self.files.invalidate_cache()
        try:
            found: bytes = self.files.cat_file(self._path(*parts))
        except FileNotFoundError:
            return None
        except Exception as error:
            raise self._problem(error, "read") from error
        return found

    def write(self, *parts: str, content: bytes) -> None:
        """Writes a small file, whole or not at all."""
        try:
            self._write(self._path(*parts), content)
        except Exception as error:
            raise self._problem(error, "written to") from error

    def create(self, *parts: str, content: bytes) -> bool:
        """Writes a small file unless there is one, of several machines only by one. Returns whether it did."""
        path = self._path(*parts)
        try:
            self._make_parent(path)  # a FileExistsError here is a file where a folder is to be
            try:
                self._create(path, content)
            except FileExistsError:  # not asked again: a listing that is kept may be older than another's file
                return False
        except Exception as error:
            raise self._problem(error, "written to") from error
        return True

    def size(self, path: str) -> int:
        """Bytes of a file, or of all below a folder."""
        return int(sum(self.files.du(path, total=False).values()))

    def _download(self, artefact: Artefact, name: str, to: Path | None) -> str | None:
        size, digest = artefact.files[name]
        if os.path.isabs(name) or ".." in Path(name).parts:
            return f"{name} leads out of it"
        found, read = hashlib.sha256(), 0
        if to is not None:
            to.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            try:
                source = stack.enter_context(
                    self.files.open(self._path(artefact.kind, artefact.key, artefact.attempt, name), "rb")
                )
            except FileNotFoundError:
                return f"{name} is missing"
            target = None if to is None else stack.enter_context(to.open("wb"))
            while part := source.read(_CHUNK):
                found.update(part)
                read += len(part)
                if target is not None:
                    target.write(part)
        return None if (read, found.hexdigest()) == (size, digest) else f"{name} was changed"

    def _manifest(self, path: str) -> dict[str, Any] | None:
        """None where it is torn, or is none."""
        try:
            manifest = json.loads(self.files.cat_file(path))
            created, files = manifest["created"], manifest["files"]
            sound = isinstance(created, str) and all(
                isinstance(own["bytes"], int) and isinstance(own["sha256"], str) for own in files.values()
            )
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
            return None
        except Exception as error:
            raise self._problem(error, "read") from error
        return manifest if sound else None

    def _create(self, path: str, content: bytes) -> None:
        if self._local:
            with open(path, "xb") as file:
                file.write(content)
            return
        for pause in (*_PAUSES, None):
            try:
                self.files.pipe_file(path, content, mode="create")
                return
            except OSError as error:
                if pause is None or _code(error) not in _CONFLICTS:
                    raise
                time.sleep(pause)

    def _write(self, path: str, content: bytes) -> None:
        self._make_parent(path)
        if self._local:
            partial = f"{os.path.dirname(path)}/.{os.path.basename(path)}.{uuid4().hex}"
            try:
                with open(partial, "wb") as file:
                    file.write(content)
                os.replace(partial, path)
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(partial)
        else:
            self.files.pipe_file(path, content)

    def _make_parent(self, path: str) -> None:
        # Where a path begins with a bucket there are no folders, and what is made is a bucket that was mistyped.
        if self._local or path.startswith("/"):
            self.files.makedirs(path.rpartition("/")[0], exist_ok=True)

    def _path(self, *parts: str) -> str:
        return "/".join((self._root.rstrip("/"), *parts))

    def _problem(self, error: Exception, what: str) -> BistilError:
        return BistilError(
            f"The store {self.url} cannot be {what}: {_reason(error)}. Mend that, and run the same command "
            "again: what is finished is kept."
        )


def name_of(path: str) -> str:
    """The last part of a path in a store."""
    return path.rstrip("/").rpartition("/")[2]


def _reason(error: Exception) -> str:
    return (disk_problem(error) or str(error) or type(error).__name__).rstrip(".")


def _code(error: Exception) -> str | None:
    """What S3 calls an error, if it is one of S3's."""
    response = getattr(error.__cause__, "response", None)
    return response.get("Error", {}).get("Code") if isinstance(response, dict) else None
