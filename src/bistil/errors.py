"""The one family of errors that bistil raises for its users, and of warnings."""

from collections.abc import Iterator
from contextlib import contextmanager

# What an extra installs, by the names under which it is imported.
EXTRAS = {
    "train": (
        *("accelerate", "backports", "conllu", "fsspec", "jinja2", "matplotlib", "onnx", "onnxscript", "psutil"),
        *("pyarrow", "scipy", "sklearn", "torch", "transformers", "upath"),
    ),
    "filters": ("datasketch", "py3langid"),
    "fleet": ("ray",),
    "serve": ("fastapi", "httptools", "prometheus_client", "uvicorn", "uvloop"),
}


class BistilError(Exception):
    """Says in one sentence what was wrong, where, what was received, and the cure.

    The command line prints the message without a traceback and exits with status 2.

    Example: ``BistilError("corpora/tr.txt is empty. Give a text file with at least one line.")``
    """


class BistilWarning(FutureWarning):
    """Says in one sentence what still works but has changed: ``distil is called distill now.``"""


@contextmanager
def naming_extras(what: str) -> Iterator[None]:
    """Around code, or as a decorator: a package that an extra would bring and that is missing is a `BistilError`.

    Example: ``with naming_extras("bistil run"): import torch`` raises, where there is no torch, "bistil run needs
    torch. Install it with: pip install 'bistil[train]'".
    """
    try:
        yield
    except ModuleNotFoundError as error:
        extra = next((extra for extra, modules in EXTRAS.items() if error.name in modules), None)
        if extra is None:
            raise
        raise BistilError(f"{what} needs {error.name}. Install it with: pip install 'bistil[{extra}]'") from error
