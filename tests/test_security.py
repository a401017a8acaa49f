"""What SECURITY.md promises, tried with files that would do harm."""

import contextlib
import hashlib
import io
import json
import os
import pickle
import re
import stat
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from bistil import packages
from bistil.errors import BistilError
from bistil.models import teachers
from bistil.packages import PackageFile
from bistil.recipe.recipe import Recipe
from bistil.sparse.delta import SparseDelta
from bistil.tasks import Classification, saved, task_kind
from bistil.training import checkpoints
from bistil.training import trainer as training
from bistil.training.adaptation import with_new_head
from bistil.training.trainer import ResumableTrainer, arguments
from bistil.vocabulary.counted import count_corpus

ROOT = Path(__file__).parents[1]


class Payload:
    """Unpickled, it leaves a file ``ran`` in the working folder."""

    def __reduce__(self):
        return (Path.touch, (Path("ran"),))


@pytest.fixture(autouse=True)
def _watched(tmp_path, monkeypatch):
    """No test may end with the mark of code that a file brought; whoever asks whether to run it is told yes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    yield
    assert not list(tmp_path.rglob("ran"))


@pytest.fixture
def tagger(tiny_teacher, tmp_path) -> Path:
    """The folder of a tiny classifier with its tokenizer."""
    folder = tmp_path / "tagger"
    Classification(("no", "yes")).new_model(tiny_teacher).save_pretrained(folder)
    for file in tiny_teacher.glob("tokenizer*"):
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def located(folder):
    return teachers.load(teachers.locate(str(folder)))


DOORS = {
    "teacher": located,
    "model as it was saved": teachers.load_as_saved,
    "task model": saved.load,
    "encoder under a new head": Classification(("no", "yes")).new_model,
    "parser": task_kind("parsing")(("root", "obj")).new_model,
    "language model": lambda folder: with_new_head(folder, 0),
}


every_door = pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)


def dump(value, path):
    path.write_bytes(pickle.dumps(value))


@every_door
@pytest.mark.parametrize("write", [torch.save, dump])
@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors"])
def test_pickled_weights_are_not_read(door, write, name, tagger):
    door(tagger)  # so it is the weights that it fails for below
    (tagger / "model.safetensors").unlink()
    write({"classifier.weight": Payload()}, tagger / name)
    with pytest.raises(Exception, match=r"safetensors|header"):
        door(tagger)


@every_door
@pytest.mark.parametrize("model_type", ["bert", "mine"])
def test_code_in_a_model_folder_is_not_run(door, model_type, tagger):
    (tagger / "code.py").write_text("import pathlib\npathlib.Path('ran').touch()\n")
    for file in ("config.json", "tokenizer_config.json"):
        values = json.loads((tagger / file).read_text())
        own = {"AutoTokenizer": [None, "code.Mine"], "AutoConfig": "code.Mine", "AutoModel": "code.Mine"}
        own |= {f"AutoModelFor{head}": "code.Mine" for head in ("MaskedLM", "SequenceClassification")}
        (tagger / file).write_text(json.dumps(values | {"model_type": model_type, "auto_map": own}))
    if model_type == "bert":
        with contextlib.suppress(BistilError):  # transformers' own class is loaded, or nothing
            door(tagger)
    else:
        with pytest.raises((BistilError, ValueError), match=r"custom code|mine"):
            door(tagger)


def test_a_pickle_in_place_of_a_delta_is_not_read(tmp_path):
    description = {"format": 2, "base": "", "head": {}, "kind": "", "shapes": {}}
    (tmp_path / "sparse_delta.json").write_text(json.dumps(description))
    for write in (torch.save, dump):
        write({"a": Payload()}, tmp_path / "sparse_delta.safetensors")
        with pytest.raises(BistilError, match="not a complete safetensors file"):
            SparseDelta.load(tmp_path)


def test_a_pickle_in_place_of_counts_is_not_read(tiny_tokenizer, tiny_lines, tmp_path):
    def count():
        return count_corpus(tiny_tokenizer, "en", tmp_path / "en.txt", tmp_path / "cache").counts

    (tmp_path / "en.txt").write_text("\n".join(tiny_lines["en"]), encoding="utf-8")
    counts = count()
    (file,) = (tmp_path / "cache").rglob("counts.npy")
    objects = np.array([Payload()], dtype=object)
    for write in (lambda: np.save(file, objects), lambda: dump(objects, file)):
        write()
        try:  # an error, or counted again
            assert np.array_equal(count(), counts)
        except (BistilError, ValueError):
            continue


class Line(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, x, labels):
        return {"loss": ((self.weight * x - labels) ** 2).mean()}


READ, UNREAD = (
    ("optimizer.pt", "scheduler.pt", "rng_state.pth", "pytorch_model.bin"),
    ("training_args.bin", "extra.pt"),
)


@pytest.mark.parametrize("name", [*READ, *UNREAD])
def test_a_payload_in_a_checkpoint_is_not_run(name, tmp_path, monkeypatch):
    def train(on_step):
        rows = [{"x": torch.ones(1), "labels": torch.zeros(1)} for _ in range(8)]
        made = arguments(tmp_path / "training", batch=2, learning_rate=0.1, seed=0)
        ResumableTrainer(model=Line(), args=made, train_dataset=rows, on_step=on_step).run()

    def interrupted(step, loss):
        if step == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(training, "_CHECKPOINT_SECONDS", 0.0)  # after every step
    with pytest.raises(KeyboardInterrupt):
        train(interrupted)
    checkpoint = checkpoints.newest_checkpoint(tmp_path / "training")
    assert {path.name for path in checkpoint.iterdir()} >= {"optimizer.pt", "scheduler.pt", "rng_state.pth"}
    if name == "pytorch_model.bin":
        (checkpoint / "model.safetensors").unlink()
    torch.save({"state": Payload()}, checkpoint / name)
    (checkpoint / "sizes.json").unlink()  # else the checkpoint would be passed over, because it was changed
    if name in READ:
        with pytest.raises(
            BistilError, match=r"holds what no training of bistil writes \(Weights only load failed"
        ):
            train(lambda step, loss: None)
    else:
        steps: list[int] = []
        train(lambda step, loss: steps.append(step))
        assert steps == [2, 3, 4]


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_a_member_that_points_outside_is_not_written_there(kind, tmp_path, monkeypatch):
    monkeypatch.setenv("BISTIL_CACHE", str(tmp_path / "cache"))
    store = tmp_path / "cache" / "packages"
    store.mkdir(parents=True)
    archive = store / ("evil-1-py3-none-any.whl" if kind == "wheel" else "evil-1.tar.gz")
    names = ["data/words.txt", "../../../outside.txt", f"{tmp_path}/outside.txt", "data/../../../../outside.txt"]
    if kind == "wheel":
        with zipfile.ZipFile(archive, "w") as file:
            for name in names:
                file.writestr(name, name)
    else:
        with tarfile.open(archive, "w:gz") as file:
            for name in names:
                member = tarfile.TarInfo(f"evil-1/{name}")
                member.size = len(name)
                file.addfile(member, io.BytesIO(name.encode()))
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    for number, name in enumerate(names):  # even where bistil's own list named it
        folder = packages.fetch(PackageFile("evil", str(number), archive.name, digest, (name,), "MIT"))
        assert [path.name for path in folder.iterdir()] == [Path(name).name]
    assert {path.parent.parent for path in tmp_path.rglob("*.txt")} == {store}


# Seen by every Python process of a run: who asks for the network, and which functions a pickle names.
WATCH = """
import os, sys
NETWORK = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "urllib.Request")
def watch(event, arguments):
    if event in NETWORK or event == "pickle.find_class":
        with open(os.environ["WATCHED"], "a") as file:
            print(event, arguments, file=file)
        if event in NETWORK:
            raise OSError("there is no network")
sys.addaudithook(watch)
"""


@pytest.mark.slow
def test_a_run_on_local_files_stays_in_its_folder_and_off_the_network(experiment, tmp_path):
    """Files have the mode that the umask gives, too."""
    for name in ("work", "home", "temporary", "watch"):
        (tmp_path / name).mkdir()
    (tmp_path / "watch" / "sitecustomize.py").write_text(WATCH)
    foreign, out = tmp_path / "work" / "mine.txt", tmp_path / "work" / "out"
    foreign.write_text("mine")
    Recipe.model_validate(experiment | {"out": str(out), "seeds": [0]}).save(tmp_path / "recipe.yaml")
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join([str(tmp_path / "watch"), str(Path(packages.__file__).parents[1])]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": str(tmp_path / "home"),
        "TMPDIR": str(tmp_path / "temporary"),
        "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "home" / "torch"),
        "WATCHED": str(tmp_path / "watched"),
        "OMP_NUM_THREADS": "1",
    }

    def python(*arguments):
        return subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path / "work", env=environment, capture_output=True, text=True
        )

    before = set(tmp_path.rglob("*"))
    program = "import os, sys; os.umask(0o027); import bistil; bistil.run(sys.argv[1])"
    done = python("-c", program, str(tmp_path / "recipe.yaml"))
    assert not done.returncode, done.stderr
    assert (out / "report.html").exists()
    made = set(tmp_path.rglob("*")) - before
    assert not (tmp_path / "watched").exists(), (tmp_path / "watched").read_text()
    of_others = {path for path in made if not {out, tmp_path / "home"} & {path, *path.parents}}
    assert not of_others  # but for what libraries keep in the user's home
    assert foreign.read_text() == "mine"
    wrong = {
        str(path.relative_to(out)): oct(path.stat().st_mode)
        for path in (out, *out.rglob("*"))
        if stat.S_IMODE(path.stat().st_mode) != (0o750 if path.is_dir() else 0o640)
    }
    assert not wrong

    # The watch would have seen it.
    assert python("-c", "import socket; socket.create_connection(('127.0.0.1', 9))").returncode
    python("-c", "import pickle, datetime; pickle.loads(pickle.dumps(datetime.date))")
    seen = (tmp_path / "watched").read_text()
    assert "socket." in seen
    assert "pickle.find_class" in seen


def with_an_empty_home(folder: Path, *arguments: str) -> None:
    """A new Python of a user who has set nothing; it leaves files nowhere but in the folder's ``work``."""
    for name in ("work", "home", "temporary"):
        (folder / name).mkdir(exist_ok=True)
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(Path(packages.__file__).parents[1]),
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "temporary"),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder / "work", env=environment, capture_output=True, text=True
    )
    assert not done.returncode, done.stderr
    left = (path for name in ("home", "temporary") for path in (folder / name).rglob("*"))
    assert [path for path in left if path.is_file()] == []


def test_an_onnx_file_is_run_without_a_word_to_its_maker(tmp_path):
    """The import alone would leave an id of the device and a queue of events in the home folder."""
    shape = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.INT64, [None, None]) for name in "xy"]
    twice = onnx.helper.make_node("Add", ["x", "x"], ["y"])
    graph = onnx.helper.make_graph([twice], "twice", shape[:1], shape[1:])
    versions = {"opset_imports": [onnx.helper.make_opsetid("", 17)], "ir_version": 8}
    onnx.save(onnx.helper.make_model(graph, **versions), tmp_path / "twice.onnx")
    program = (
        "from pathlib import Path; from bistil.runtime.engine import OnnxEngine; OnnxEngine(Path('../{}'), {{}})"
    )
    with_an_empty_home(tmp_path, "-c", program.format("twice.onnx"))


@pytest.mark.slow
def test_an_export_and_its_use_leave_nothing_at_home(tagger, tmp_path):
    (tmp_path / "texts.txt").write_text("The farmers\n")
    with_an_empty_home(
        tmp_path, "-m", "bistil", "export", str(tagger), "--text", "en=../texts.txt", "--out", "out"
    )
    with_an_empty_home(tmp_path, "-m", "bistil", "predict", "out", "../texts.txt")


def test_every_test_that_security_md_names_is_there():
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", text)
    assert len(named) > 8
    for file, name in named:
        assert f"def {name}(" in (ROOT / "tests" / file).read_text(encoding="utf-8"), name
