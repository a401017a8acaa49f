"""The quickstart's data: dictionary definitions in two languages, and the kind of thing each describes.

English comes from Princeton WordNet 3.1, Turkish from KeNet; both are in one package, of which only the data
files are read.
"""

import json
import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bistil.errors import BistilError
from bistil.files import fingerprint_file, listed_files, publish
from bistil.packages import PackageFile, fetch
from bistil.pipeline.outfolder import held_folder
from bistil.quickstart.leakage import contains_any, key, resembles
from bistil.quickstart.synsets import OTHER, Wordnet, labels_by_anchor, labels_by_link, read

SOURCE = "en"

# The language, the file that holds its wordnet, and how definitions begin that cannot be understood alone:
# KeNet has "Bu ağacın meyvesi" (the fruit of this tree) right after the tree.
_FILES = {SOURCE: "english_wordnet_version_31.xml", "tr": "turkish_wordnet.xml"}
DANGLING = {"tr": re.compile(r"bu\b", re.IGNORECASE)}
TARGETS: tuple[str, ...] = tuple(language for language in _FILES if language != SOURCE)

PACKAGE = PackageFile(
    distribution="nlptoolkit-wordnet",
    version="1.0.26",
    filename="nlptoolkit_wordnet-1.0.26.tar.gz",
    sha256="6216dc295191c634bdad4876fabbd38b1a5fa5ad71003fd365209782ecdbe501",
    members=tuple(f"WordNet/data/{name}" for name in _FILES.values()),
    licence="GPL-3.0",
)

# As the sources are given out; the second has none of its own, so it is the package's.
LICENSES = {"en": "WordNet 3.1 licence", "tr": PACKAGE.licence}

PREPARATION = 1  # to be raised when the same package gives other data
_SOURCES = """\
# Where this data comes from

Quickstart data prepared by bistil ({preparation}, seed {seed}, {source} and {target})
from {package.filename} (SHA-256 {package.sha256}).
Only data files of that package ({package.distribution} {package.version}, {package.licence}) were read:

- Princeton WordNet 3.1, copyright 2011 Princeton University, under the WordNet licence
  (https://wordnet.princeton.edu/license-and-commercial-use): free to use and to pass on with that notice.
- KeNet, the Turkish wordnet of Starlang Software (https://github.com/StarlangSoftware/TurkishWordNet-Py):
  Ehsani, Solak, Yildiz, "Constructing a WordNet for Turkish using manual and automatic annotation", 2018.
"""
_VALIDATION = """
`task/validation.{target}.jsonl` served to choose bistil's default settings, `task/test.*.jsonl` never did.
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a task file, for example ``Row("a young horse", "animal", "ENG31-02379194-n")``."""

    text: str
    label: str
    id: str


@dataclass(frozen=True)
class Sizes:
    """The most rows of a label in each part. Where a label has fewer in all, every part gets its share."""

    train: int = 900
    validation: int = 50
    test: int = 100
    target_validation: int = 50
    target_test: int = 150


@dataclass(frozen=True)
class Dataset:
    """Unlabelled lines by language, and the rows of the task; the target language has no training rows."""

    text: Mapping[str, list[str]]
    train: list[Row]
    validation: list[Row]
    test: Mapping[str, list[Row]]
    target_validation: list[Row]


@dataclass(frozen=True)
class WordNetData:
    """Where the prepared files lie; ``text`` and ``test`` by language, for example ``test["tr"]``.

    ``target_validation`` is for choosing bistil's own defaults, not for a run: zero-shot transfer has no
    labelled target examples to choose by.
    """

    text: dict[str, Path]
    train: Path
    validation: Path
    test: dict[str, Path]
    target_validation: Path


def prepare(target: str, folder: Path, seed: int = 0) -> WordNetData:
    """Write the quickstart's data for English and ``target`` into ``folder``, unless it is there already.

    Downloads 12 MB once and takes about fifteen seconds. A row of a task file is
    ``{"text": "a young horse", "label": "animal", "id": "ENG31-02379194-n"}``. Raises BistilError for a
    target that is not in ``TARGETS``, and for a folder that holds something else.
    """

    def write(source: Wordnet, other: Wordnet, place: Path) -> None:
        _write(build(source, other, target, seed=seed), _paths(place, target), target)

    note = _VALIDATION.format(target=target)
    fetched(target, folder, f"preparation {PREPARATION}", seed, write, note)
    return _paths(folder, target)


def fetched(
    target: str,
    folder: Path,
    preparation: str,
    seed: int,
    write: Callable[[Wordnet, Wordnet, Path], None],
    note: str = "",
) -> None:
    """Fetch the wordnets of English and ``target``, and publish what ``write`` makes of them as ``folder``.

    A folder that has the same is left; files that were deleted are made again, and changed ones are a
    BistilError. ``preparation`` says which data these are, ``note`` more of them.
    """
    if target not in TARGETS:
        raise BistilError(
            f"The quickstart has no data for the target language {target!r}. "
            f"Available: {', '.join(TARGETS)}. For another language, write a recipe with `bistil init`."
        )
    named = {"package": PACKAGE, "seed": seed, "source": SOURCE, "target": target}
    sources = _SOURCES.format(preparation=preparation, **named) + note
    label = folder / "SOURCES.md"
    as_written = all(
        (folder / name).is_file() and fingerprint_file(folder / name) in known
        for name, known in listed_files(folder).items()
    )
    if as_written and label.is_file() and label.read_bytes() == sources.encode():
        return
    with held_folder(folder.parent, [folder.name]), TemporaryDirectory() as temporary:
        archive = fetch(PACKAGE)
        write(read(archive / _FILES[SOURCE]), read(archive / _FILES[target]), Path(temporary))
        (Path(temporary) / label.name).write_text(sources, encoding="utf-8", newline="\n")
        publish(Path(temporary), folder)


def build(
    source: Wordnet, target: Wordnet, language: str, *, sizes: Sizes | None = None, seed: int = 0
) -> Dataset:
    """Choose the rows and lines; ``language`` is the target's code. Pure, and the same for the same seed.

    No held-out definition is in any line of text, no concept of a held-out target synset is in any English
    part, no concept of the target test is in the target validation, and no target line is English.
    """
    sizes, random_numbers = sizes or Sizes(), random.Random(seed)
    source_labels = labels_by_anchor(source)
    source_keys = Counter(map(key, definitions(source)))
    target_keys = Counter(map(key, definitions(target)))
    is_source = resembles(lines(source), lines(target))
    dangling = DANGLING.get(language)

    rows = [
        row
        for row in _rows(target, labels_by_link(target, source_labels), target_keys)
        if key(row.text) not in source_keys
        and not is_source(row.text)
        and not (dangling and dangling.match(row.text))
    ]
    target_test, target_validation = _divide(
        rows, (sizes.target_test, sizes.target_validation), lambda row: target[row.id].links, random_numbers
    )
    seen = {link for row in target_test + target_validation for link in target[row.id].links}
    rows = [row for row in _rows(source, source_labels, source_keys) if row.id not in seen]
    test, validation, train = _divide(
        rows, (sizes.test, sizes.validation, sizes.train), lambda row: (row.id,), random_numbers
    )

    held_out = test + validation + target_test + target_validation
    text = unlabelled(source, target, language, [row.text for row in held_out], is_source, random_numbers)
    return Dataset(text, train, validation, {SOURCE: test, language: target_test}, target_validation)


def unlabelled(
    source: Wordnet,
    target: Wordnet,
    language: str,
    held_out: Iterable[str],
    is_source: Callable[[str], bool],
    random_numbers: random.Random,
) -> dict[str, list[str]]:
    """Lines of both wordnets in any order, none of which holds a held-out text; no target line is English."""
    is_held_out, source_keys = contains_any(held_out), set(map(key, definitions(source)))
    text = {
        SOURCE: [line for line in _unique(lines(source)) if not is_held_out(line)],
        language: [
            line for line in _unique(lines(target), source_keys) if not is_held_out(line) and not is_source(line)
        ],
    }
    for part in text.values():
        random_numbers.shuffle(part)
    return text


def _rows(wordnet: Wordnet, labels: Mapping[str, frozenset[str]], counts: Mapping[str, int]) -> Iterator[Row]:
    """A row for every synset with one label and a first definition that no other synset has."""
    for id in sorted(labels):
        if len(labels[id]) == 1 and OTHER not in labels[id]:
            (label,) = labels[id]
            for text in wordnet[id].definitions[:1]:
                if is_usable(text) and counts[key(text)] == 1:
                    yield Row(text, label, id)


def _divide(
    rows: Iterable[Row],
    sizes: Sequence[int],
    concepts: Callable[[Row], Iterable[str]],
    random_numbers: random.Random,
) -> list[list[Row]]:
    """Parts with at most ``sizes`` rows of each label; a concept is in one part only."""
    by_label = defaultdict(list)
    for row in rows:
        by_label[row.label].append(row)
    parts: list[list[Row]] = [[] for _ in sizes]
    for label in sorted(by_label):
        rest = by_label[label]
        random_numbers.shuffle(rest)
        share = min(1.0, len(rest) / sum(sizes))
        for part, size in zip(parts, sizes, strict=True):
            taken, rest = rest[: round(size * share)], rest[round(size * share) :]
            part += taken
            used = {concept for row in taken for concept in concepts(row)}
            rest = [row for row in rest if used.isdisjoint(concepts(row))]
    for part in parts:
        random_numbers.shuffle(part)
    return parts


def is_usable(text: str) -> bool:
    """Whether a text has 3 to 60 words."""
    return 3 <= len(key(text).split()) <= 60


def definitions(wordnet: Wordnet) -> Iterator[str]:
    """All of a wordnet's."""
    return (text for synset in wordnet.values() for text in synset.definitions)


def lines(wordnet: Wordnet) -> Iterator[str]:
    """Definitions and examples."""
    return (text for synset in wordnet.values() for text in synset.definitions + synset.examples)


def _unique(text: Iterable[str], without: Iterable[str] = ()) -> Iterator[str]:
    seen = set(without)
    for line in text:
        if is_usable(line) and key(line) not in seen:
            seen.add(key(line))
            yield line


def _paths(folder: Path, target: str) -> WordNetData:
    task, languages = folder / "task", (SOURCE, target)
    return WordNetData(
        text={language: folder / "text" / f"{language}.txt" for language in languages},
        train=task / f"train.{SOURCE}.jsonl",
        validation=task / f"validation.{SOURCE}.jsonl",
        test={language: task / f"test.{language}.jsonl" for language in languages},
        target_validation=task / f"validation.{target}.jsonl",
    )


def _write(dataset: Dataset, paths: WordNetData, target: str) -> None:
    files = {paths.text[language]: own for language, own in dataset.text.items()}
    tasks = {
        paths.train: dataset.train,
        paths.validation: dataset.validation,
        paths.target_validation: dataset.target_validation,
    } | {paths.test[language]: rows for language, rows in dataset.test.items()}
    files |= {path: [json.dumps(asdict(r), ensure_ascii=False) for r in rows] for path, rows in tasks.items()}
    for path, own in files.items():
        write_lines(path, own)


def write_lines(path: Path, text: Iterable[str]) -> None:
    """Write lines of text, and the folder for them."""
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in text), encoding="utf-8", newline="\n")
