"""What a release uploads: wheel, source archive, description on the package index, citation; and the workflows."""

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """The folder of wheel and source archive."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(built) -> zipfile.ZipFile:
    (path,) = built.glob("*.whl")
    return zipfile.ZipFile(path)


@pytest.fixture(scope="module")
def metadata(wheel) -> Message:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return Parser().parsestr(wheel.read(name).decode("utf-8"))


def check_schema(name: str, *paths: Path) -> None:
    """Against the published schema of a format, which the checker has with it."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{name}", *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_index_takes_it(built):
    command = [sys.executable, "-m", "twine", "check", "--strict", *map(str, built.iterdir())]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("PASSED") == 2


def test_the_wheel_has_every_file_of_the_package(wheel):
    source = ROOT / "src"
    files = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()}
    files = {name for name in files if "__pycache__" not in name and ".egg-info" not in name}
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert packed == files
    assert {"bistil/py.typed", "bistil/report/templates/page.html.jinja"} <= packed


def test_the_source_archive_can_be_tested(built):
    """Everything that tests read: tests, docs, recipes, and the files of the root."""
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.splitlines()
    not_tested = ("benchmarks/", "results/", ".ci/")
    assert {name for name in listed if not name.startswith(not_tested)} - names == set()


def test_links_and_pictures_of_the_description_hold_on_the_index(metadata):
    description = metadata.get_payload()
    targets = re.findall(r"\]\(([^)\s]+)\)", description)
    assert targets
    assert [target for target in targets if not target.startswith(("https://", "#"))] == []
    root = f"{PROJECT['urls']['Repository']}/"
    files = [target.removeprefix(root) for target in targets if target.startswith(root)]
    assert "raw/main/docs/quickstart.png" in files
    for name in files:
        kind, branch, path = name.split("/", 2)
        assert branch == "main"
        assert (kind == "raw") == path.endswith((".png", ".svg"))
        assert (ROOT / path.partition("#")[0]).exists()


def test_the_repository_has_one_address(metadata):
    address = PROJECT["urls"]["Repository"]
    pages = [*ROOT.glob("*.md"), *ROOT.glob("*.cff"), *(ROOT / "docs").glob("*.*"), ROOT / "pyproject.toml"]
    texts = [path.read_text(encoding="utf-8") for path in pages if path.suffix in (".md", ".py", ".toml", ".cff")]
    found = {one for text in texts for one in re.findall(r"https://github\.com/[\w-]+/bistil\b", text)}
    assert found == {address}
    assert f"Repository, {address}" in metadata.get_all("Project-URL")


def test_citation():
    check_schema("citation-file-format", ROOT / "CITATION.cff")
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (cited["version"], cited["license"]) == (PROJECT["version"], PROJECT["license"])
    assert cited["repository-code"] == PROJECT["urls"]["Repository"]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for work in (cited["preferred-citation"], *cited["references"]):
        assert f"title = {{{work['title']}}}" in readme
        assert [author["family-names"] for author in work["authors"]][::3] == ["Ansell", "Vulić"]


def test_the_changelog_has_the_version():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest, *_ = re.findall(r"^## (\S+) \((?:unreleased|\d{4}-\d{2}-\d{2})\)$", changelog, flags=re.MULTILINE)
    assert newest == PROJECT["version"]


def test_workflows():
    """They are workflows, try what the classifiers say, and call only what make has."""
    paths = sorted((ROOT / ".github/workflows").glob("*.yml"))
    assert [path.name for path in paths] == ["ci.yml", "release.yml"]
    check_schema("github-workflows", *paths)
    ci, release = (yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"] for path in paths)
    matrix = ci["tests"]["strategy"]["matrix"]
    assert {f"Programming Language :: Python :: {one}" for one in matrix["python"]} <= {*PROJECT["classifiers"]}
    assert len(matrix["python"]) == sum("Python :: 3." in one for one in PROJECT["classifiers"])
    assert len(matrix["os"]) == sum(one.startswith("Operating System") for one in PROJECT["classifiers"])
    steps = [step for job in (*ci.values(), *release.values()) for step in job["steps"]]
    called = {name for step in steps for name in re.findall(r"make (\w+)", step.get("run", ""))}
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert {"lint", "docs", "package"} <= called <= {*targets}
    assert release["publish"]["permissions"] == {"id-token": "write"}  # and no token
