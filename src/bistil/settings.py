"""Plain values from YAML, and single ones set by a dotted key."""

import re
from typing import Any

import yaml

from bistil.errors import BistilError


class _Loader(yaml.SafeLoader):
    """YAML without its old truth values, in which `no` is false rather than Norwegian, and without dates."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] not in ("bool", "timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def parse(text: str, where: str) -> Any:
    """The values of a YAML text; what is not YAML is a BistilError that begins with `where` and the line."""
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or "cannot be read"
        place = f"{where}, line {mark.line + 1}" if mark else where
        raise BistilError(f"{place}: this is not YAML ({problem}).") from error


def typed(value: Any) -> Any:
    """A value that no field says the type of: its words true and false, and 1e-8, are what they mean."""
    match value:
        case dict():
            return {key: typed(one) for key, one in value.items()}
        case list():
            return [typed(one) for one in value]
        case str() if value.lower() in ("true", "false"):
            return value.lower() == "true"
        case str() if re.fullmatch(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", value):
            return float(value)
    return value


def assign(values: dict[str, Any], text: str) -> None:
    """Set one value in place: ``tasks.0.density=0.1`` puts 0.1 into ``values["tasks"][0]["density"]``."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise BistilError(f"--set takes KEY=VALUE, for example distil.tokens=1_000_000; got {text!r}.")
    at: Any = values
    parts = key.strip().split(".")
    for depth, part in enumerate(parts, start=1):
        if isinstance(at, list):
            if not part.isdecimal() or int(part) >= len(at):
                raise BistilError(f"--set {key}: there is no item {part}; give 0 to {len(at) - 1}.")
            index: Any = int(part)
        elif isinstance(at, dict):
            index = part
        else:
            raise BistilError(
                f"--set {key}: {part!r} has no place there, because what stands above it is a value."
            )
        if depth == len(parts):
            at[index] = parse(value, f"--set {key}")
        else:
            if isinstance(at, dict) and at.get(index) is None:
                at[index] = {}
            at = at[index]
