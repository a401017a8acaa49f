"""The stages of several recipes as one graph: what two recipes need alike is one node."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from bistil.errors import BistilError
from bistil.pipeline.stages import StageFolder
from bistil.planning.walk import Step, Walk, walk
from bistil.recipe.recipe import Recipe


@dataclass(frozen=True)
class Node:
    """A stage of one or more recipes: their labels, and the keys of the stages that it is made of."""

    step: Step
    labels: tuple[str, ...]
    inputs: frozenset[str]

    @property
    def key(self) -> str:
        """The name of its folder: ``distill-1f0c2a9b44``."""
        return self.step.folder.path.name

    @property
    def title(self) -> str:
        """For people: ``sw/half · General distillation``, with the first of several recipes."""
        return f"{self.labels[0]} · {self.step.title}"


@dataclass(frozen=True)
class Graph:
    """The nodes by key, each behind what it is made of; by label what is wrong with recipes that have none."""

    nodes: Mapping[str, Node]
    problems: Mapping[str, str] = field(default_factory=dict)

    def of(self, label: str) -> list[Node]:
        """The nodes that a recipe needs."""
        return [node for node in self.nodes.values() if label in node.labels]

    def ancestors(self, key: str) -> set[str]:
        """The keys of all that a node is made of, directly or not."""
        found: set[str] = set()
        todo = list(self.nodes[key].inputs)
        while todo:
            if (one := todo.pop()) not in found:
                found.add(one)
                todo.extend(self.nodes[one].inputs)
        return found

    @cached_property
    def heights(self) -> Mapping[str, int]:
        """How many stages come one after the other behind each node; who has most is made first."""
        found = dict.fromkeys(self.nodes, 0)
        for key in reversed(list(self.nodes)):
            for needed in self.nodes[key].inputs:
                found[needed] = max(found[needed], found[key] + 1)
        return found


def graph(recipes: Mapping[str, Recipe]) -> Graph:
    """The graph of recipes by label; nothing is made. A file or a model that is not to be had is a problem.

    Example: two students of one language and two tasks share a vocabulary, its blocks, and two task teachers.
    """
    nodes: dict[str, Node] = {}
    problems: dict[str, str] = {}
    for label, recipe in recipes.items():
        try:
            recipe.check_files()
            with walk(recipe, stand_ins=False) as found:  # whose stages a run would not know
                add(nodes, label, found)
        except BistilError as error:
            problems[label] = str(error)
    return Graph(nodes, problems)


def add(nodes: dict[str, Node], label: str, found: Walk) -> None:
    """Adds the stages of a recipe."""
    keys = {step.folder.fingerprint: step.folder.path.name for step in found.steps}
    for step in found.steps:
        key = keys[step.folder.fingerprint]
        if key in nodes:
            nodes[key] = replace(nodes[key], labels=(*nodes[key].labels, label))
        else:
            inputs = frozenset(keys[one] for one in _fingerprints(step.inputs) if one in keys)
            nodes[key] = Node(step, (label,), inputs)


def _fingerprints(value: Any) -> Iterator[str]:
    """The strings among the inputs of a stage, of which those that are stages' fingerprints count."""
    if isinstance(value, StageFolder):
        yield value.fingerprint
    elif isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _fingerprints(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _fingerprints(part)
