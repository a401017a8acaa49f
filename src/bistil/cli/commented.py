"""A recipe as YAML with a comment behind every value, for people to edit."""

from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from pydantic import BaseModel

from bistil.recipe.recipe import Recipe


def commented(recipe: Recipe, heading: str, notes: Mapping[str, str]) -> str:
    """All values of a recipe; `notes` maps dotted keys to what stands in a line of its own above them.

    Example line: ``density: 0.08  # share of the encoder's parameters that a task may change``
    """
    lines = [*(f"# {line}".rstrip() for line in heading.split("\n")), "", *_lines(recipe, "", notes)]
    return "\n".join(lines) + "\n"


def _lines(part: BaseModel, path: str, notes: Mapping[str, str]) -> Iterator[str]:
    after_section = False
    for (name, field), value in zip(
        type(part).model_fields.items(), part.model_dump(mode="json").values(), strict=True
    ):
        key, inner = f"{path}{name}", getattr(part, name)
        items = list(inner) if isinstance(inner, tuple) and inner and isinstance(inner[0], BaseModel) else []
        section = isinstance(inner, BaseModel) or bool(items)
        if section and not path and not after_section:
            yield ""
        after_section = section and not path
        if key in notes:
            yield f"# {_one_line(notes[key])}"
        yield f"{name}:{'' if section else f' {_scalar(value)}'}  # {field.description}"
        if isinstance(inner, BaseModel):
            yield from (f"  {line}" for line in _lines(inner, f"{key}.", notes))
        for index, item in enumerate(items):
            mark = "  - "
            for line in _lines(item, f"{key}.{index}.", notes):
                yield mark + line
                mark = "    "
        if section and not path:
            yield ""


def _scalar(value: Any) -> str:
    if isinstance(value, int) and value >= 10_000:
        return f"{value:_}"
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10_000)
    return text.removesuffix("\n").removesuffix("\n...")


def _one_line(text: str) -> str:
    """Labels are the user's: a line break or control character in one must not end the comment."""
    return "".join(character if character.isprintable() else " " for character in text)
