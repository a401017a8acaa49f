"""The docs site: `make docs` builds it from the Markdown of docs/ and of the repository's root.

The source folder is the root, so that a link between two pages holds on GitHub and on the site alike.
"""

import importlib.metadata
import inspect
from types import ModuleType

from pydantic import BaseModel

import bistil
import bistil.recipe.matrix
import bistil.recipe.parts
import bistil.recipe.recipe

project = "bistil"
author = "the bistil developers"
release = importlib.metadata.version("bistil")

root_doc = "docs/index"
include_patterns = [
    "docs/**",
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "examples/*/README.md",
]
exclude_patterns = ["docs/_build", "**/.ipynb_checkpoints"]
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]

myst_heading_anchors = 4
nb_execution_mode = "off"  # a test executes the notebooks
default_role = "py:obj"  # a name in single backticks of a docstring is a link where it has an entry
autodoc_typehints = "description"
autodoc_member_order = "bysource"
autodoc_default_options = {"exclude-members": "model_config, model_post_init"}

nitpicky = True  # a type of bistil without an entry is an error; those of other libraries have none here
nitpick_ignore_regex = [(r"py:.*", r"(?!bistil\.).*"), (r"py:.*", r"bistil\..*\.E")]

html_theme = "furo"
html_title = f"bistil {release}"
html_extra_path = ["redirect"]


def _put_public_names_in_place() -> None:
    """Autodoc sees only what is there, under the module it says it is of; the package loads names when asked."""
    for name in bistil.__all__:
        value = getattr(bistil, name)
        vars(bistil)[name] = value
        if callable(value):
            value.__module__ = "bistil"


def _describe_keys(*modules: ModuleType) -> None:
    """The keys of a recipe say what they are; autodoc knows only their types, which are full of validators."""
    found = (value for module in modules for value in vars(module).values() if isinstance(value, type))
    for model in dict.fromkeys(found):  # one module imports those of another
        if issubclass(model, BaseModel) and model.model_fields:
            fields = model.model_fields
            lines = [f"* ``{name}``: {field.description}" for name, field in fields.items()]
            model.__doc__ = "\n".join([inspect.cleandoc(model.__doc__ or ""), "", *lines])
            model.__annotations__ = {}
            model.__signature__ = inspect.Signature(
                [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in fields]
            )


_put_public_names_in_place()
_describe_keys(bistil.recipe.parts, bistil.recipe.recipe, bistil.recipe.matrix)
