"""The steps of a Dockerfile one by one, in a folder and a new environment, where no container engine runs."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from benchmarks.realdata import ROOT

EXAMPLE = ROOT / "examples/container"
_TOOLS = ("pip", "setuptools", "pkg_resources", "_distutils_hack")  # those of a new environment


@dataclass(frozen=True)
class Container:
    """What the steps made: where commands run, with which environment, the entry point, and the size of layers.

    ``layers`` are the bytes that each COPY and RUN added: ``{"COPY dist/*.whl ./": 310_000, …}``.
    """

    work: Path
    environment: dict[str, str]
    entrypoint: list[str]
    layers: dict[str, int]

    def start(self) -> subprocess.Popen[str]:
        """Its process, which is written to and read from."""
        program, *arguments = self.entrypoint
        found = shutil.which(program, path=self.environment["PATH"])
        if found is None:
            raise SystemExit(f"The container has no program {program}.")
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [found, *arguments],
            cwd=self.work,
            env=self.environment,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            encoding="utf-8",
        )


def context(model: Path, folder: Path) -> Path:
    """A build context as the example's README has it: the wheel of this clone, and an exported model."""
    shutil.copytree(model, folder / "model")
    for name in ("Dockerfile", ".dockerignore"):
        shutil.copyfile(EXAMPLE / name, folder / name)
    command = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(folder / "dist")]
    subprocess.run([*command, str(ROOT)], check=True, stdout=subprocess.DEVNULL)
    return folder


def build(context: Path, root: Path) -> Container:
    """Runs FROM, WORKDIR, COPY, RUN, USER and ENTRYPOINT of a context's Dockerfile below a root.

    A virtual environment of this Python stands for the base image, and ``/`` is the root; USER changes nothing.
    """
    python = root / "python"
    subprocess.run([sys.executable, "-m", "venv", str(python)], check=True)
    environment = {"PATH": os.pathsep.join([str(python / "bin"), "/usr/bin", "/bin"]), "HOME": "/nonexistent"}
    environment |= {name: value for name, value in os.environ.items() if name.lower().startswith(("pip_", "http"))}
    work, entrypoint, layers = root, list[str](), dict[str, int]()
    size = _size(root)
    for word, rest in instructions(context / "Dockerfile"):
        if word == "WORKDIR":
            work = root / rest.lstrip("/")
            work.mkdir(parents=True)
        elif word == "COPY":
            _copy(context, work, rest)
        elif word == "RUN":
            subprocess.run(["sh", "-c", rest], cwd=work, env=environment, check=True, stdout=subprocess.DEVNULL)
        elif word == "ENTRYPOINT":
            entrypoint = json.loads(rest)
        elif word not in ("FROM", "USER"):
            raise SystemExit(f"Dockerfile: {word} is none of the steps that are run here.")
        if word in ("COPY", "RUN"):
            before, size = size, _size(root)
            layers[f"{word} {rest}"] = size - before
    return Container(work, environment, entrypoint, layers)


def instructions(dockerfile: Path) -> Iterator[tuple[str, str]]:
    """Each instruction and what follows it: ``("USER", "nobody")``."""
    for line in dockerfile.read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            word, _, rest = line.partition(" ")
            yield word, rest


def sent(context: Path) -> set[Path]:
    """The files of a context that its .dockerignore leaves: the last pattern that fits a file decides."""
    patterns = (context / ".dockerignore").read_text(encoding="utf-8").split()
    found = set()
    for path in (path for path in context.rglob("*") if path.is_file()):
        name = path.relative_to(context).as_posix()
        fits = [pattern for pattern in patterns if fnmatch(name, pattern.removeprefix("!"))]
        if not fits or fits[-1].startswith("!"):
            found.add(path)
    return found


def _copy(context: Path, work: Path, rest: str) -> None:
    *sources, target = shlex.split(rest)
    allowed = sent(context)
    for source in sources:
        files = [path for path in context.glob(source) if path in allowed]
        if not files:
            raise SystemExit(f"Dockerfile: there is no {source} to copy.")
        for file in files:
            (work / target).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, work / target / file.name)


def _size(root: Path) -> int:
    """The bytes of all files, without the tools of a new environment, which the base image has, too."""
    files = (path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    own = (path for path in files if not any(part.startswith(_TOOLS) for part in path.relative_to(root).parts))
    return sum(path.stat().st_size for path in own)
