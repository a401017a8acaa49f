"""Files that are whole or absent; published folders that are bistil's own, and a user's that never are."""

import errno
import os
import shutil
import sys
import tempfile
from functools import partial
from itertools import count

import pytest

from bistil.errors import BistilError
from bistil.files import (
    MARKER,
    check_published,
    disk_problem,
    foreign,
    publish,
    publish_files,
    repair,
    replacing,
    system_problem,
)

needs_fork = pytest.mark.skipif(
    not hasattr(os, "fork"), reason="a child that is ended at a chosen system call needs fork"
)


def folder(path, **contents: str):
    path.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (path / name).write_text(content)
    return path


def contents(path) -> dict[str, str]:
    files = (one for one in path.rglob("*") if one.is_file() and one.name != MARKER)
    return {one.relative_to(path).as_posix(): one.read_text() for one in files}


def test_publishing_replaces_what_was_published_and_leaves_nothing_beside_it(tmp_path):
    publish(folder(tmp_path / "first", model="1", stale="old"), tmp_path / "out/tasks/pos")
    publish(folder(tmp_path / "second", model="2"), tmp_path / "out/tasks/pos")
    assert contents(tmp_path / "out/tasks/pos") == {"model": "2"}
    assert [one.name for one in (tmp_path / "out/tasks").iterdir()] == ["pos"]


def test_further_texts_are_published_with_a_folder_and_known_to_be_bistils(tmp_path):
    where, source = tmp_path / "out/pos", folder(tmp_path / "source", model="1")
    publish(source, where, {"README.md": "a card, İ\n"})
    assert (where / "README.md").read_bytes() == "a card, İ\n".encode()
    before = where.stat().st_ino
    publish(source, where, {"README.md": "a card, İ\n"})
    assert where.stat().st_ino == before
    publish(source, where, {"README.md": "another"})
    assert contents(where) == {"model": "1", "README.md": "another"}
    assert foreign(where) is None
    assert contents(source) == {"model": "1"}


def test_what_was_added_to_a_published_folder_stays_as_long_as_the_folder_is_the_same(tmp_path):
    where, source = tmp_path / "out/pos", folder(tmp_path / "source", model="1", config="c")
    publish(source, where, {"README.md": "card"})
    publish_files(where, {"onnx": "exported", "config": "c, and what JavaScript reads"})
    for card in ("card", "another card"):
        publish(source, where, {"README.md": card})
        assert contents(where) == {
            "model": "1", "config": "c, and what JavaScript reads", "onnx": "exported", "README.md": card
        }  # fmt: skip
    assert foreign(where) is None
    publish(folder(tmp_path / "second", model="2", config="c"), where, {"README.md": "card"})
    assert contents(where) == {"model": "2", "config": "c", "README.md": "card"}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_a_published_folder_has_the_mode_that_the_umask_gives(tmp_path):
    source = folder(tmp_path / "source", model="1")
    source.chmod(0o700)
    publish(source, tmp_path / "out")
    (tmp_path / "usual").mkdir()
    assert (tmp_path / "out").stat().st_mode == (tmp_path / "usual").stat().st_mode != source.stat().st_mode


def test_a_file_that_somebody_deleted_is_published_again(tmp_path):
    source = folder(tmp_path / "first", model="1", tokenizer="2")
    publish(source, tmp_path / "out")
    (tmp_path / "out/tokenizer").unlink()
    publish(source, tmp_path / "out")
    assert contents(tmp_path / "out") == {"model": "1", "tokenizer": "2"}


@pytest.mark.parametrize(
    "own", ["folder", "file in it", "changed file", "file instead", "link", "link in it", "beside"]
)
def test_what_bistil_did_not_write_is_never_replaced(tmp_path, own):
    where, source = tmp_path / "out/food", folder(tmp_path / "source", model="new")
    if own in ("file in it", "changed file", "link in it"):
        publish(folder(tmp_path / "earlier", model="old"), where)
    mine = {
        "folder": where / "train.jsonl",
        "file in it": where / "notes.md",
        "changed file": where / "model",
        "file instead": where,
        "link": tmp_path / "elsewhere/mine",
        "link in it": tmp_path / "elsewhere/mine",
        "beside": tmp_path / "out/.food.old/mine",
    }[own]
    mine.parent.mkdir(parents=True, exist_ok=True)
    mine.write_text("mine")
    if own == "link":
        where.parent.mkdir()
        where.symlink_to(mine.parent)
    if own == "link in it":
        (where / "notes").symlink_to(mine.parent)
    with pytest.raises(BistilError, match=r"food.* did not write it|food.* was not written by bistil"):
        publish(source, where)
    assert mine.read_text() == "mine"


def test_what_the_system_leaves_in_a_folder_is_nobodys(tmp_path):
    publish(folder(tmp_path / "first", model="1"), tmp_path / "out")
    (tmp_path / "out/.DS_Store").write_text("")
    publish(folder(tmp_path / "second", model="2"), tmp_path / "out")
    assert contents(tmp_path / "out") == {"model": "2"}


def ended_at(change, within, work):
    """Does the work in a child that ends without any clean-up at one of its changes of the disk; True if at none.

    A file that is then open for writing has been written by half.
    """
    child = os.fork()
    if not child:
        left = change

        def end(event, arguments):
            nonlocal left
            changes = event in ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree") or (
                event == "open" and str(arguments[0]).startswith(str(within)) and "w" in str(arguments[1])
            )
            left -= changes
            if changes and not left:
                if event == "open":
                    os.write(os.open(arguments[0], os.O_CREAT | os.O_WRONLY), b"half")
                os._exit(9)

        sys.addaudithook(end)
        work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@needs_fork
def test_a_kill_at_any_moment_of_publishing_loses_neither_model(tmp_path):
    first, second = folder(tmp_path / "1", model="1", a="1"), folder(tmp_path / "2", model="2", b="2")
    states = []
    for n in count(1):
        where = tmp_path / f"out-{n}/food"
        publish(first, where)
        done = ended_at(n, tmp_path, partial(publish, second, where))
        repair(where)
        check_published(where)
        states.append(contents(where))
        assert states[-1] in (contents(first), contents(second))
        publish(second, where)
        assert contents(where) == contents(second)
        assert [one.name for one in where.parent.iterdir()] == ["food"]
        if done:
            break
    assert states[0] == contents(first)
    assert states[-1] == contents(second)
    assert len(states) > 10


@needs_fork
def test_a_kill_at_any_moment_of_publishing_further_files_blocks_nothing(tmp_path):
    model, large = folder(tmp_path / "1", model="1"), tmp_path / "large"
    large.write_text("2" * 10_000)
    further = {"README.md": "A card", "onnx/model.onnx": large}
    for n in count(1):
        where = tmp_path / f"out-{n}/food"
        publish(model, where, {"README.md": "A first card"})
        done = ended_at(n, tmp_path, partial(publish_files, where, further))
        for name in further:  # as those do who publish into a folder with a user's own files
            repair(where / name)
            check_published(where / name)
        repair(where)
        check_published(where)
        assert not [*where.rglob(".*.partial")]
        publish_files(where, further)
        assert contents(where) == {"model": "1", "README.md": "A card", "onnx/model.onnx": "2" * 10_000}
        if done:
            break
    assert n > 6


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    seen, flushed = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (seen.append((tmp_path / "a").exists()), flushed(file)))
    with replacing(tmp_path / "a") as unfinished:
        unfinished.write_text("whole")
    assert seen == [False]


def test_files_beside_a_users_own_are_replaced_only_where_bistil_wrote_them(tmp_path):
    (tmp_path / "recipe.txt").write_text("mine")
    publish_files(tmp_path, {"report.md": "one", "report.html": "1"})
    publish_files(tmp_path, {"report.md": "two"})
    assert contents(tmp_path) == {"recipe.txt": "mine", "report.md": "two", "report.html": "1"}
    (tmp_path / "report.html").write_text("mine")
    for name in ("recipe.txt", "report.html"):
        with pytest.raises(BistilError, match=rf"{name} was not written by bistil, or was changed since"):
            publish_files(tmp_path, {"report.md": "three", name: "no"})
    assert contents(tmp_path) == {"recipe.txt": "mine", "report.md": "two", "report.html": "mine"}


def test_a_file_that_a_kill_left_before_or_behind_its_marker_is_still_bistils(tmp_path, monkeypatch):
    publish_files(tmp_path, {"report.md": "one"})
    from bistil import files

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:  # the marker is written, the file is not
        patch.setattr(
            files.Path, "replace", lambda self, to: killed() if to.suffix == ".md" else os.replace(self, to)
        )
        with pytest.raises(KeyboardInterrupt):
            publish_files(tmp_path, {"report.md": "two"})
    assert (tmp_path / "report.md").read_text() == "one"
    publish_files(tmp_path, {"report.md": "three"})
    assert (tmp_path / "report.md").read_text() == "three"


def test_an_error_leaves_the_file_as_it_was(tmp_path):
    (tmp_path / "a").write_text("old")
    with pytest.raises(UnicodeEncodeError), replacing(tmp_path / "a") as partial:
        partial.write_text("half \ud800", encoding="utf-8")
    assert contents(tmp_path) == {"a": "old"}


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on the disk"),
        (OSError(errno.EROFS, "Read-only file system"), "The disk is read-only"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "No space left on the disk"),
        (
            RuntimeError('IoError(Os { code: 30, kind: ReadOnlyFilesystem, message: "Read-only" })'),
            "The disk is read-",
        ),
        (
            RuntimeError("[enforce fail] PytorchStreamWriter failed writing file data/5"),
            "No space left on the disk",
        ),
        (
            RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0"),
            "No space left on the disk",
        ),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), "None"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory"), "None"),
    ],
)
def test_every_library_has_its_own_words_for_a_disk_that_cannot_be_written(error, problem):
    assert str(disk_problem(error)).startswith(problem)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no full disk here")
def test_a_full_disk_is_that_of_the_copy(tmp_path):
    source, target = folder(tmp_path / "source", model="1" * 1_000_000), folder(tmp_path / "copy")
    (target / "model").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as raised:
        shutil.copytree(source, target, dirs_exist_ok=True)
    said = f"No space left on the disk for {target / 'model'}. Fix that and run again."
    assert system_problem(raised.value) == said
    # as shutil.copyfile says it, but where the kernel cannot copy by itself: there the error has no names
    one = OSError(28, "No space left on device", str(source / "model"), None, str(target / "model"))
    assert system_problem(one) == said


def test_a_path_that_cannot_be_and_a_system_without_a_temporary_folder_are_said(tmp_path, monkeypatch):
    for path, reason in ((tmp_path / ("x" * 300), "File name too long"), (tmp_path / "a/b", "Not a directory")):
        (tmp_path / "a").write_text("")
        with pytest.raises(OSError) as raised:  # noqa: PT011
            path.mkdir()
        assert system_problem(raised.value).startswith(f"{path} cannot be used: {reason}. ")
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(tmp_path / "none")])
    with pytest.raises(OSError, match="No usable") as raised:
        tempfile.TemporaryDirectory()
    assert "Set TMPDIR to a folder" in system_problem(raised.value)
    assert system_problem(OSError("what no user can put right")) is None


def test_a_file_in_place_of_a_folder_above_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path / "file/out", tmp_path / "file/out/onnx/model.onnx"):
        with pytest.raises(BistilError, match=r"file is no folder"):
            check_published(path)
    check_published(tmp_path / "new/onnx/model.onnx")
