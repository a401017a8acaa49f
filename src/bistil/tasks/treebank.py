"""Reading and writing of CoNLL-U, as the tasks on treebanks need it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from conllu.exceptions import ParseException
from conllu.parser import parse_line

from bistil.corpora.strict import whole
from bistil.errors import BistilError
from bistil.tasks.task import read_text
from bistil.tasks.words import blocks, check_words, split_words

FIELDS = ("id", "form")
UPOS, XPOS, HEAD, RELATION, DEPS = 3, 4, 6, 7, 8  # columns, counted from 0


@dataclass(frozen=True)
class TreebankSentence:
    """The words of one sentence: a row of ten columns and the number of its line each; and all its lines."""

    words: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: tuple[int, ...]
    lines: tuple[str, ...]
    path: Path
    first: int

    @property
    def source(self) -> str:
        """For example ``tr.conllu, sentence at line 12``."""
        return f"{self.path}, sentence at line {self.first}"

    def column(self, number: int) -> tuple[str, ...] | None:
        """One column of all words; None where it is empty ("_") for any."""
        values = tuple(row[number].strip() for row in self.rows)
        return None if "_" in values else values


def read_treebank(path: Path) -> list[TreebankSentence]:
    """The sentences of a CoNLL-U file; multi-word tokens and empty nodes are passed over."""
    if path.suffix.lower() != ".conllu":
        raise BistilError(f"{path}: treebanks are read from .conllu, not from {path.suffix!r}.")
    sentences, comments = [], list[str]()
    for first, lines in blocks(read_text(path)):
        if all(line.startswith("#") for line in lines):
            comments += lines  # of a document, say, whose first sentence comes next
            continue
        sentence = _sentence(lines, path, first)
        sentences.append(replace(sentence, lines=(*comments, *sentence.lines)))
        comments = []
    if not sentences:
        raise BistilError(f"{path} holds no sentences. Give a file with at least one.")
    check_words(sentences, path)
    return sentences


def _sentence(lines: list[str], path: Path, first: int) -> TreebankSentence:
    words: list[str] = []
    rows: list[tuple[str, ...]] = []
    numbers: list[int] = []
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
        numbers.append(number)
    return TreebankSentence(tuple(words), tuple(rows), tuple(numbers), tuple(lines), path, first)


def dependencies(sentence: TreebankSentence) -> tuple[tuple[int, str], ...] | None:
    """The head, 0 for the root, and the relation of each word: ``((2, "nsubj"), (0, "root"))``.

    None where all are empty ("_"). `BistilError`, with file and line, for a head or relation that is missing or
    cannot be, and for heads that do not make one tree with one word on the root, as Universal Dependencies asks.
    """
    found = [(row[HEAD].strip(), row[RELATION].strip()) for row in sentence.rows]
    if found and all(pair == ("_", "_") for pair in found):
        return None
    sources = [f"{sentence.path}, line {number}" for number in sentence.numbers]
    heads: list[int] = []
    roots: list[str] = []
    for word, (source, (head, relation)) in enumerate(zip(sources, found, strict=True), start=1):
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
                f"{sources[first - 1]}: word {first} is its own head by way of others. Break this cycle."
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
    return tuple(words), (f"# text = {line.strip()}", *rows)


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
