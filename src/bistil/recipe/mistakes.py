"""What is wrong with a recipe, in a sentence that names the cure."""

import difflib
import textwrap
import types
from collections.abc import Sequence
from typing import Any, get_args

from pydantic import BaseModel


def sentence(error: Any, recipe: type[BaseModel]) -> str:
    """One sentence about one pydantic error: unknown key 'distill.token'. Did you mean 'distill.tokens'?"""
    location = [part for part in error["loc"] if not str(part).startswith("<")]
    path = ".".join(map(str, location))
    if error["type"] == "extra_forbidden":
        return f"unknown key {path!r}. {_nearest(location, recipe)}"
    if error["type"] == "missing":
        return f"{path!r} is missing."
    if error["type"] == "value_error" and not path:
        return f"{error['ctx']['error']}."
    message = error["msg"].removeprefix("Value error, ").removeprefix("Input ").replace("valid tuple", "list")
    received = textwrap.shorten(repr(error["input"]), 80, placeholder=" …")
    return f"{path!r} {message.replace('should be', 'must be')}; got {received}."


def _nearest(location: Sequence[str | int], recipe: type[BaseModel]) -> str:
    model = recipe
    for part in location[:-1]:
        if isinstance(part, str) and part in model.model_fields:  # else a name of the user's
            model = _model_in(model.model_fields[part].annotation) or model
    wrong = str(location[-1])
    if close := difflib.get_close_matches(wrong, model.model_fields, n=1):
        return f"Did you mean {'.'.join(map(str, [*location[:-1], close[0]]))!r}?"
    for section, field in recipe.model_fields.items():
        inner = _model_in(field.annotation)
        if inner and wrong in inner.model_fields:
            return f"Did you mean {section}.{'0.' if section == 'tasks' else ''}{wrong}?"
    return f"Known keys there: {', '.join(model.model_fields)}."


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model that an annotation such as `tuple[Task, ...]` is about."""
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return annotation if issubclass(annotation, BaseModel) else None
    return next(filter(None, map(_model_in, get_args(annotation))), None)
