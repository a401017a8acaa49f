import errno
import hashlib
import io
import os
import shutil
import sys
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from bistil import packages
from bistil.errors import BistilError
from bistil.packages import PackageFile, cache_folder, fetch, whole_folder

METADATA = "Metadata-Version: 2.1\nName: tinydata\nVersion: 1.0\n"
# Talks on both streams, litters its working folder, and leaves a mark that it ran.
BACKEND = f"""
import os, pathlib, sys
print("the build script speaks"); print("and complains", file=sys.stderr)
pathlib.Path("litter.txt").touch(); pathlib.Path(os.environ["MARK"]).touch()
def prepare_metadata_for_build_wheel(folder, settings=None):
    pathlib.Path(folder, "tinydata-1.0.dist-info").mkdir()
    pathlib.Path(folder, "tinydata-1.0.dist-info", "METADATA").write_text({METADATA!r})
    return "tinydata-1.0.dist-info"
def build_wheel(*arguments):
    raise SystemExit("nothing is to be built")
"""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("MARK", str(tmp_path / "mark"))
    monkeypatch.setenv("BISTIL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def links(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "links"
    folder.mkdir()
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def package(archive: Path, *members: str) -> PackageFile:
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    return PackageFile("tinydata", "1.0", archive.name, digest, members or ("tinydata/words.txt",), "MIT")


def wheel(folder: Path) -> Path:
    # A platform that this machine surely is not: the wheel is only read.
    path = folder / "tinydata-1.0-py3-none-win_arm64.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tinydata/words.txt", "bir iki üç")
        archive.writestr("tinydata/more/numbers.txt", "1 2 3")
        archive.writestr("tinydata-1.0.dist-info/METADATA", METADATA)
        archive.writestr("tinydata-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-win_arm64\n")
        archive.writestr("tinydata-1.0.dist-info/RECORD", "")
    return path


def sdist(folder: Path) -> Path:
    path = folder / "tinydata-1.0.tar.gz"
    contents = {
        "PKG-INFO": METADATA,
        "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
        "backend.py": BACKEND,
        "tinydata/words.txt": "bir iki üç",
    }
    with tarfile.open(path, "w:gz") as archive:
        for name, text in contents.items():
            data = text.encode()
            info = tarfile.TarInfo(f"tinydata-1.0/{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def place_by_hand(archive: Path, cache: Path) -> PackageFile:
    (cache / "packages").mkdir(parents=True)
    shutil.copy(archive, cache / "packages")
    return package(archive)


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_members_of_a_wheel_for_another_platform_are_extracted_flat_and_nothing_else_is_left(links, cache):
    wanted = package(wheel(links), "tinydata/words.txt", "tinydata/more/numbers.txt")
    folder = fetch(wanted)
    assert files(cache) == ["packages/tinydata-1.0/numbers.txt", "packages/tinydata-1.0/words.txt"]
    assert (folder / "words.txt").read_text(encoding="utf-8") == "bir iki üç"
    assert list((cache / "packages").iterdir()) == [folder]


def test_sdist_is_prepared_in_isolation_and_quietly(links, cache, tmp_path, monkeypatch, capfd):
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    folder = fetch(package(sdist(links)))
    assert files(folder) == ["words.txt"]
    assert files(cache) == ["packages/tinydata-1.0/words.txt"]
    assert not list(here.iterdir())
    assert (tmp_path / "mark").exists()
    assert capfd.readouterr() == ("", "")


def test_second_call_needs_no_archive(cache, tmp_path):
    wanted = place_by_hand(wheel(tmp_path), cache)
    folder = fetch(wanted)
    (cache / "packages" / wanted.filename).unlink()
    assert fetch(wanted) == folder


def test_more_members_than_last_time_are_fetched_again(cache, tmp_path):
    wanted = place_by_hand(wheel(tmp_path), cache)
    fetch(wanted)
    folder = fetch(replace(wanted, members=(*wanted.members, "tinydata/more/numbers.txt")))
    assert files(folder) == ["numbers.txt", "words.txt"]


@pytest.mark.parametrize("build", [wheel, sdist])
def test_wrong_hash_runs_nothing_and_leaves_nothing(links, cache, build, tmp_path):
    archive = build(links)
    wanted = replace(package(archive), sha256="0" * 64)
    received = hashlib.sha256(archive.read_bytes()).hexdigest()
    with pytest.raises(BistilError, match=f"wrong SHA-256: expected {'0' * 64}, received {received}"):
        fetch(wanted)
    assert not (tmp_path / "mark").exists()
    assert not list((cache / "packages").iterdir())


def test_without_network_the_message_says_what_to_fetch_and_where_to_put_it(cache, tmp_path):
    archive = wheel(tmp_path)
    wanted = package(archive)
    with pytest.raises(BistilError) as error:
        fetch(wanted)
    message = str(error.value)
    assert "\n" not in message
    assert "pip download --no-deps --only-binary=:all: --platform=win_arm64 tinydata==1.0" in message
    assert f"put {archive.name} into {cache / 'packages'}" in message
    assert not list((cache / "packages").iterdir())


@pytest.mark.parametrize("build", [wheel, sdist])
def test_archive_placed_by_hand_is_used_and_kept(cache, tmp_path, build):
    wanted = place_by_hand(build(tmp_path), cache)
    assert (fetch(wanted) / "words.txt").read_text(encoding="utf-8") == "bir iki üç"
    assert (cache / "packages" / wanted.filename).is_file()


def test_archive_placed_by_hand_with_the_wrong_hash_is_named_and_not_removed(cache, tmp_path):
    wanted = package(wheel(tmp_path))
    (cache / "packages").mkdir(parents=True)
    broken = cache / "packages" / wanted.filename
    broken.write_bytes(b"half of it")
    with pytest.raises(BistilError, match="wrong SHA-256") as error:
        fetch(wanted)
    assert f"Remove {broken}" in str(error.value)
    assert list((cache / "packages").iterdir()) == [broken]


def test_index_that_cannot_be_reached(tmp_path, monkeypatch):
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # the discard port: nobody answers
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(BistilError, match="index cannot be reached"):
        fetch(package(wheel(tmp_path)))


def test_python_without_pip(tmp_path, monkeypatch):
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$0: No module named pip" >&2; exit 1\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(BistilError, match=f"{python} has no pip .*ensurepip"):
        fetch(package(wheel(tmp_path)))


def test_full_disc_leaves_nothing(links, cache, monkeypatch):
    def full(source, sink):
        sink.write(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(packages.shutil, "copyfileobj", full)
    with pytest.raises(BistilError, match=r"No space left .*BISTIL_CACHE"):
        fetch(package(wheel(links)))
    assert not list((cache / "packages").iterdir())


def test_full_disc_that_only_the_text_of_an_error_tells(tmp_path):
    with pytest.raises(BistilError, match="No space left"), whole_folder(tmp_path / "new"):
        raise RuntimeError("I/O error: No space left on device (os error 28)")
    assert not list(tmp_path.iterdir())


def test_other_errors_pass_and_leave_nothing(tmp_path):
    with pytest.raises(IsADirectoryError), whole_folder(tmp_path / "new") as folder:
        folder.write_text("half")
    assert not list(tmp_path.iterdir())


def test_folder_that_another_process_made_meanwhile_is_kept(tmp_path):
    with whole_folder(tmp_path / "new") as folder:
        (folder / "mine").touch()
        (tmp_path / "new").mkdir()
        (tmp_path / "new" / "theirs").touch()
    assert files(tmp_path) == ["new/theirs"]


def test_cache_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("BISTIL_CACHE", str(tmp_path / "file"))
    with pytest.raises(BistilError, match=r"Cannot write to .*BISTIL_CACHE"):
        fetch(package(wheel(tmp_path)))


@pytest.mark.parametrize("chosen", ["~nosuch/c", None])
def test_cache_in_a_home_that_is_not_there(chosen, monkeypatch):
    if chosen is None:
        monkeypatch.delenv("BISTIL_CACHE", raising=False)

        def homeless(*_):
            raise RuntimeError("Could not determine home directory.")

        monkeypatch.setattr("platformdirs.user_cache_path", homeless)
    else:
        monkeypatch.setenv("BISTIL_CACHE", chosen)
    with pytest.raises(BistilError, match=rf"^{chosen or 'The cache'} would be in a home .* Set BISTIL_CACHE"):
        cache_folder()


def test_cache_folder_of_the_user(monkeypatch):
    monkeypatch.delenv("BISTIL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/home/ayşe/.cache")
    assert cache_folder().name == "bistil"
