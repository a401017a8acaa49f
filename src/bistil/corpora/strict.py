"""What others wrote, read strictly: JSON, and strings that are whole."""

import json
import re
from pathlib import Path
from typing import Any

from bistil.errors import BistilError

MOST_NESTED = 100  # levels; Python's own limit depends on who calls
# Half of a surrogate pair alone, group 1; other escapes are passed over as wholes.
_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)


def parse_json(text: str, where: str) -> Any:
    """The value of a JSON text; where it is none, the `BistilError` begins with `where`, and the line in it.

    Refused too: a name that an object has twice, half of a character (``\\ud83d``), numbers of thousands of digits
    and a hundred levels of nesting.
    """
    whole(text, where)
    try:
        value = json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise BistilError(
            f"{_at(text, where, error.pos)} is not JSON: {error.msg} at column {error.colno}."
        ) from error
    except RecursionError as error:
        raise _too_nested(where) from error
    except ValueError as error:
        reason = "it has a number of thousands of digits" if "integer string" in str(error) else str(error)
        raise BistilError(f"{where} cannot be read as JSON: {reason}. Correct it, or leave it out.") from error
    if text.count("[") + text.count("{") > MOST_NESTED:
        check_nesting(value, where)
    if "\\u" in text and (half := next((one for one in _ESCAPE.finditer(text) if one[1]), None)):
        raise _half(half[0], _at(text, where, half.start()))
    return value


def whole(text: str, where: str) -> str:
    """The text itself; half of a surrogate pair in it, which no file can hold, is a `BistilError`."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _half(text[error.start].encode("unicode-escape").decode(), where) from error
    return text


def check_nesting(value: Any, where: str) -> None:
    """Raise where lists and dictionaries lie in each other more levels deep than any reader can need."""
    layer = [value]
    for _ in range(MOST_NESTED):
        layer = [inner for outer in layer for inner in _inner(outer)]
    if layer:
        raise _too_nested(where)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"an object has the name {next(n for n in names if names.count(n) > 1)!r} twice")
    return found


def _inner(value: Any) -> list[Any]:
    return [*value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []


def _at(text: str, where: str, position: int) -> str:
    """The place in a text of several lines; a single one is what `where` names."""
    line = text.count("\n", 0, position) + 1
    return f"{where}, line {line}" if "\n" in text.rstrip("\n") else where


def _half(half: str, where: str) -> BistilError:
    return BistilError(f"{where}: {half} is half of a character. Correct or leave out the text.")


def _too_nested(where: str) -> BistilError:
    return BistilError(f"{where} is nested more than {MOST_NESTED} levels deep. Give plain values.")


def read_text(path: Path) -> str:
    """A whole text file in UTF-8, byte order mark dropped, line ends made "\\n"."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise BistilError(f"{path} is not UTF-8 text (byte {error.start}). Save it as UTF-8.") from error
    except (OSError, ValueError) as error:  # the latter for a name with a NUL in it
        reason = getattr(error, "strerror", error)
        raise BistilError(f"Cannot read {path}: {reason}. Give the path of a file that exists.") from error
