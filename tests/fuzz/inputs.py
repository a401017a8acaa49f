"""Inputs to try readers with: a valid one changed in its bytes, its words or its values, and arbitrary ones."""

import json
import re
from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

Folder = dict[str, bytes]

# What has broken readers, of bistil or of others.
PIECES = [
    *(
        b"",
        b"\n",
        b"\n\n",
        b"\r",
        b"\r\n",
        b"\t",
        b" ",
        b"#",
        b"_",
        b'"',
        b"'",
        b"\\",
        b",",
        b":",
        b"{",
        b"}",
        b"[",
        b"]",
    ),
    *(b"\x00", b"\xff", b"\xef\xbb\xbf", b"\xed\xa0\xbd", b"\\ud83d", b"\\u12", "\u2028\u0085\u00a0²١".encode()),
    *(b"NaN", b"-Infinity", b"1e999", b"null", b"true", b"-1", b"0", b"1-2", b"1.1", b"2147483648", b"9" * 5000),
    *(b"-DOCSTART- -X- O", b"B-", b"I-LOC", b"<<: *a", b"&a ", b"*a", b"!!int ", b"!!bool x", b"? ", b"- "),
    *(b"[" * 3000, b'{"a":' * 300, b"a" * 70_000, b"../../etc/passwd", b"~nobody/x", b"text", b"label"),
]
VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2**31, 2**63, 10**30, 1.5, -0.0, float("nan"), float("inf")),
    *("", " ", "_", "a", "\ud83d", "\x00", "9" * 5000, "../../x", [], [[]], {}, {"": {}}, ["a"], [0], [None]),
    *({"text": "a"}, [-1, 2**62], [1] * 300),
]


def changed_bytes(seed: bytes) -> st.SearchStrategy[bytes]:
    """Some slices of a seed replaced."""
    edit = st.tuples(
        st.integers(0, max(len(seed), 1)), st.integers(0, 40), st.sampled_from(PIECES) | st.binary(max_size=6)
    )

    def apply(edits: list[tuple[int, int, bytes]]) -> bytes:
        data = seed
        for at, length, new in edits:
            data = data[:at] + new + data[at + length :]
        return data

    cut = st.integers(0, max(len(seed), 1)).map(lambda end: seed[:end])
    return st.lists(edit, min_size=1, max_size=5).map(apply) | cut


def changed_words(seed: bytes) -> st.SearchStrategy[bytes]:
    """Some words or separators of a text replaced, repeated or left out."""
    words = re.split(rb"([\s,:\"{}\[\]])", seed)
    edit = st.tuples(
        st.integers(0, len(words) - 1), st.sampled_from(PIECES) | st.sampled_from(words), st.integers(0, 3)
    )

    def apply(edits: list[tuple[int, bytes, int]]) -> bytes:
        changed = list(words)
        for at, new, times in edits:
            changed[at] = new * times if len(new) < 1000 else new
        return b"".join(changed)

    return st.lists(edit, min_size=1, max_size=6).map(apply)


def changed_json(seed: bytes) -> st.SearchStrategy[bytes]:
    """Some values of a JSON text, or of each line, replaced, left out or named otherwise."""
    lines = [seed] if seed.startswith(b"{\n") or b"\n{" not in seed else seed.splitlines()
    edit = st.tuples(st.integers(0, 400), st.sampled_from(VALUES), st.sampled_from(["value", "name", "gone"]))

    def apply(edits: list[tuple[int, Any, str]]) -> bytes:
        documents = [json.loads(line) for line in lines]
        for number, shared, how in edits:
            value = deepcopy(shared)
            places = list(_places(documents))
            holder, key = places[number % len(places)]
            if how == "value" or isinstance(holder, list):
                holder[key] = value
            elif how == "name":
                holder[str(value)] = holder.pop(key)
            else:
                del holder[key]
        return b"\n".join(json.dumps(document).encode() for document in documents)

    return st.lists(edit, min_size=1, max_size=4).map(apply)


def _places(value: Any) -> Any:
    keys = list(value) if isinstance(value, dict) else range(len(value))
    for key in keys:
        yield value, key
        if isinstance(value[key], dict | list) and value[key]:
            yield from _places(value[key])


def changed(seed: bytes) -> st.SearchStrategy[bytes]:
    """A seed changed in one of these ways; the seed itself, now and then; or anything."""
    ways = [changed_bytes(seed), changed_bytes(seed), st.just(seed), st.binary(max_size=200)]
    try:
        seed.decode()
    except UnicodeDecodeError:
        return st.one_of(ways)
    ways += [changed_words(seed), changed_words(seed), st.text(max_size=80).map(str.encode)]
    if seed.lstrip().startswith(b"{"):
        ways += [changed_json(seed), changed_json(seed)]
    return st.one_of(ways)


def changed_folder(seed: Folder) -> st.SearchStrategy[Folder]:
    """A folder in which one file is changed or gone."""

    def one(name: str) -> st.SearchStrategy[Folder]:
        kept = {other: content for other, content in seed.items() if other != name}
        return st.just(kept) | changed(seed[name]).map(lambda content: {**kept, name: content})

    return st.sampled_from(sorted(seed)).flatmap(one)
