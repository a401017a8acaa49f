"""Plain values from YAML, and single ones set by a dotted key."""

import re
from collections import Counter
from typing import Any

import yaml
from yaml.composer import ComposerError

from bistil.corpora.strict import MOST_NESTED, check_nesting
from bistil.errors import BistilError

MOST_VALUES = 100_000  # in a text; those that aliases repeat count each time


class _Loader(yaml.SafeLoader):
    """YAML without its old truth values, in which `no` is false rather than Norwegian, and without dates.

    Aliases of aliases, of which a few lines would fill the memory, are refused before a value is made; so is a key
    that stands twice.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._sizes: dict[yaml.Node, int] = {}
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """The next node, checked and measured."""
        repeated = self.check_event(yaml.AliasEvent)
        self._depth += 1
        if self._depth > MOST_NESTED:
            raise _refused(f"nested more than {MOST_NESTED} levels deep", parent)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if node is not None and not repeated:
            self._sizes[node] = 1 + sum(self._sizes[part] for part in self._parts(node))
            if self._sizes[node] > MOST_VALUES:
                raise _refused(f"more than {MOST_VALUES:,} values, aliases counted as what they stand for", node)
        elif node not in self._sizes:
            raise _refused("an alias stands within what it stands for", node)
        return node

    def _parts(self, node: yaml.Node) -> list[yaml.Node]:
        if isinstance(node, yaml.MappingNode):
            keys = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
            if twice := next((key for key, count in keys.items() if count > 1), None):
                raise _refused(f"the key {twice!r} stands twice", node)
            return [part for pair in node.value for part in pair]
        if isinstance(node, yaml.SequenceNode):
            return list(node.value)
        if any("\ud800" <= character <= "\udfff" for character in node.value):
            raise _refused("half of a character", node)
        return []


def _refused(problem: str, node: yaml.Node | None) -> yaml.YAMLError:
    return ComposerError(problem=problem, problem_mark=getattr(node, "start_mark", None))


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] not in ("bool", "timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def parse(text: str, where: str) -> Any:
    """The values of a YAML text; what is not YAML is a BistilError that begins with `where` and the line."""
    try:
        values = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or "cannot be read"
        place = f"{where}, line {mark.line + 1}" if mark else where
        raise BistilError(f"{place}: this is not YAML ({problem}).") from error
    except (ValueError, TypeError, LookupError, AttributeError) as error:  # of a tag that its value does not fit
        raise BistilError(f"{where}: this is not YAML ({error}).") from error
    check_nesting(values, where)
    return values


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
        raise BistilError(f"--set takes KEY=VALUE, for example distill.tokens=1_000_000; got {text!r}.")
    at: Any = values
    parts = key.strip().split(".")
    for depth, part in enumerate(parts, start=1):
        if isinstance(at, list):
            if not part.isdecimal() or len(part) > 9 or int(part) >= len(at):
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
