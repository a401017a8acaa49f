"""Reading and writing of treebanks, CoNLL-U or rows, as the tasks on them need it."""

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bistil.corpora.strict import read_text, whole
from bistil.errors import BistilError
from bistil.tasks.rows import ROWS, check_cells, read_rows, tokens
from bistil.tasks.words import blocks, check_words, split_words

FIELDS = ("id", "form")
UPOS, XPOS, FEATS, HEAD, RELATION, DEPS, MISC = 3, 4, 5, 6, 7, 8, 9  # columns, counted from 0
SUFFIXES = (".conllu", *ROWS)
# The columns as `datasets` has them in rows, each a list; the first two make a row's words.
NAMES = ("id", "tokens", "lemmas", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")


@dataclass(frozen=True)
class TreebankSentence:
    """The words of one sentence: a row of ten columns each, and where it stands; and all lines of CoNLL-U.

    ``source`` and ``sources`` are for example ``tr.conllu, sentence at line 12`` and ``tr.conllu, line 13``.
    """

    words: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    sources: tuple[str, ...]
    lines: tuple[str, ...]
    source: str

    def column(self, number: int) -> tuple[str, ...] | None:
        """One column of all words; None where it is empty ("_") for any."""
        values = tuple(row[number].strip() for row in self.rows)
        return None if "_" in values else values


def read_treebank(path: Path, needed: Sequence[int] = ()) -> list[TreebankSentence]:
    """The sentences of a CoNLL-U file, or of rows (.jsonl, .parquet) with the columns `NAMES`.

    Multi-word tokens and empty nodes of CoNLL-U are passed over. Rows must have ``tokens`` and the columns
    ``needed``, by number, which may be null; without others nothing is known.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise BistilError(f"{path}: treebanks are read from {', '.join(SUFFIXES)}, not from {path.suffix!r}.")
    if suffix in ROWS:
        sentences = [from_row(row, source, needed) for source, row in read_rows(path)]
    else:
        sentences = list(_from_lines(path))
    if not sentences:
        raise BistilError(f"{path} holds no sentences. Give a file with at least one.")
    check_words(sentences, path)
    return sentences


def from_row(row: Mapping[str, Any], source: str, needed: Sequence[int] = ()) -> TreebankSentence:
    """The sentence of a row: ``{"tokens": ["Kedi", "uyudu"], "upos": ["NOUN", "VERB"], "head": [2, 0], …}``."""
    words = tokens(row, source)
    columns = [tuple(str(number) for number in range(1, len(words) + 1)), words]
    for number, name in enumerate(NAMES[2:], start=2):
        if number in needed and name not in row:
            present = ", ".join(map(repr, row))
            raise BistilError(f"{source}: there is no {name!r}; there are {present}. Rename the one meant.")
        values: Any = row.get(name)
        if values is None:
            values = ["_"] * len(words)
        if not isinstance(values, list | tuple) or len(values) != len(words):
            given = len(values) if isinstance(values, list | tuple) else f"the {type(values).__name__} {values!r}"
            raise BistilError(
                f"{source} has {len(words)} tokens, but {name!r} is {given}. Give one for each token."
            )
        columns.append(tuple(_cell(value, number) for value in values))
    for name, cells in zip(NAMES, columns, strict=True):
        check_cells(cells, name, source)
    rows = tuple(zip(*columns, strict=True))
    lines = tuple(map("\t".join, rows))
    return TreebankSentence(words, rows, tuple(f"{source}, word {n}" for n in columns[0]), lines, source)


def _cell(value: Any, column: int) -> str:
    """A cell as CoNLL-U has it: `datasets` may have "None" for none, and features as a dict or list of Python."""
    if column in (FEATS, DEPS, MISC) and str(value).startswith(("{", "[")):
        with suppress(ValueError, SyntaxError, MemoryError, RecursionError):
            value = ast.literal_eval(str(value))
        if isinstance(value, dict):
            return "|".join(name if one is None else f"{name}={one}" for name, one in value.items()) or "_"
        value = None if isinstance(value, list) else value
    # a lemma may well be "None"
    return "_" if value in (None, "") or (value == "None" and column > UPOS) else str(value)


def _from_lines(path: Path) -> Iterator[TreebankSentence]:
    comments: list[str] = []
    for first, lines in blocks(read_text(path)):
        if all(line.startswith("#") for line in lines):
            comments += lines  # of a document, say, whose first sentence comes next
            continue
        sentence = _sentence(lines, path, first)
        yield replace(sentence, lines=(*comments, *sentence.lines))
        comments = []


def _sentence(lines: list[str], path: Path, first: int) -> TreebankSentence:
    from conllu.exceptions import ParseException
    from conllu.parser import parse_line

    words: list[str] = []
    rows: list[tuple[str, ...]] = []
    sources: list[str] = []
    for number, line in enumerate(lines, start=first):
        if line.startswith("#"):
            continue
        source = f"{path}, line {number}"
        columns = line.count("\t") + 1
        if columns != 10:
            raise BistilError(f"{source} has {columns} columns. CoNLL-U has ten, separated by tabs.")
        try:
            token = parse_line(line, FIELDS)
        except (ParseException, ValueError) as error:  # of numbers with thousands of digits
            raise BistilError(f"{source}: {error}.") from error
        if isinstance(token["id"], tuple):  # a multi-word token or an empty node
            continue
        if token["id"] != len(words) + 1:
            raise BistilError(
                f"{source}: word {token['id'] or '_'} comes where word {len(words) + 1} should. "
                "Number words from 1, and put an empty line after each sentence."
            )
        words.append(token["form"])
        rows.append(tuple(line.split("\t")))
        sources.append(source)
    at = f"{path}, sentence at line {first}"
    return TreebankSentence(tuple(words), tuple(rows), tuple(sources), tuple(lines), at)


def dependencies(sentence: TreebankSentence) -> tuple[tuple[int, str], ...] | None:
    """The head, 0 for the root, and the relation of each word: ``((2, "nsubj"), (0, "root"))``.

    None where all are empty ("_"). `BistilError`, with file and line, for a head or relation that is missing or
    cannot be, and for heads that do not make one tree with one word on the root, as Universal Dependencies asks.
    """
    found = [(row[HEAD].strip(), row[RELATION].strip()) for row in sentence.rows]
    if found and all(pair == ("_", "_") for pair in found):
        return None
    heads: list[int] = []
    roots: list[str] = []
    for word, (source, (head, relation)) in enumerate(zip(sentence.sources, found, strict=True), start=1):
        if not (head.isascii() and head.isdecimal()):
            raise BistilError(f"{source}: the head is {head!r}. Give the number of a word, or 0 for the root.")
        if len(head) > 9 or int(head) > len(found):
            raise BistilError(f"{source}: the head is word {head}, but the sentence ends with word {len(found)}.")
        if int(head) == word:
            raise BistilError(f"{source}: word {word} is its own head. Give another, or 0 for the root.")
        if relation in ("", "_"):
            raise BistilError(f"{source}: there is no relation to the head {head}. Give one, such as nsubj.")
        heads.append(int(head))
        if heads[-1] == 0:
            roots.append(source)
    if found and not roots:
        raise BistilError(f"{sentence.source}: no word is the root. Give one the head 0.")
    if len(roots) > 1:
        raise BistilError(
            f"{roots[1]}: another word is the root already ({roots[0]}). Give one of the two another head than 0."
        )
    below_root = {0}
    for word in range(1, len(heads) + 1):
        way: dict[int, None] = {}
        while word not in below_root and word not in way:
            way[word] = None
            word = heads[word - 1]
        if word in way:
            first = min(list(way)[list(way).index(word) :])
            raise BistilError(
                f"{sentence.sources[first - 1]}: word {first} is its own head by way of others. Break this cycle."
            )
        below_root.update(way)
    return tuple(zip(heads, (relation for _, relation in found), strict=True))


def raw_lines(line: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The words of a line of plain text, and the CoNLL-U lines of them with nothing known: (words, lines)."""
    words = split_words(whole(line, "the line given"))
    rows = []
    position = 0
    for number, word in enumerate(words, start=1):
        position = line.index(word, position) + len(word)
        joined = number < len(words) and not line[position].isspace()
        rows.append("\t".join([str(number), word, *"_" * 7, "SpaceAfter=No" if joined else "_"]))
    return tuple(words), (f"# text = {' '.join(line.splitlines()).strip()}", *rows)


def filled(lines: Sequence[str], fill: Callable[[int, list[str]], None]) -> str:
    """Lines of CoNLL-U with the columns of each word changed by ``fill(word, columns)``, words from 0.

    Comments, multi-word tokens and empty nodes stay as they came; an empty line follows.
    """

    def written() -> Iterator[str]:
        word = 0
        for line in lines:
            columns = line.split("\t")
            if columns[0].strip().isdecimal():
                fill(word, columns)
                word += 1
            yield "\t".join(columns)

    return "\n".join(written()) + "\n"
