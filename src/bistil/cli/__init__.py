"""The command line: one thin file a command; models are imported only inside them, so help is instant."""

import logging
import os
import sys
import warnings
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any

import typer

from bistil.cli.adapt import adapt
from bistil.cli.bench import bench
from bistil.cli.delta import delta
from bistil.cli.distill import distill
from bistil.cli.eval import evaluate
from bistil.cli.export import export
from bistil.cli.fleet import fleet
from bistil.cli.init import init
from bistil.cli.plan import plan
from bistil.cli.predict import predict
from bistil.cli.push import push
from bistil.cli.quickstart import quickstart
from bistil.cli.report import report
from bistil.cli.run import run
from bistil.cli.serve import serve
from bistil.cli.store import store
from bistil.cli.teach import teach
from bistil.cli.transfer import transfer
from bistil.cli.vocab import vocab
from bistil.errors import BistilError, BistilWarning, naming_extras
from bistil.files import system_problem
from bistil.launch import sleep_early

app = typer.Typer(
    name="bistil",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(quickstart)
app.command()(init)
app.command()(plan)
app.command()(run)
app.command()(fleet)
app.command()(distill)
app.command()(teach)
app.command()(transfer)
app.command("eval")(evaluate)
app.command()(predict)
app.command()(report)
app.command()(bench)
app.command()(export)
app.command()(serve)
app.command()(push)
app.command()(vocab)
app.command()(adapt)
app.add_typer(delta, name="delta")
app.add_typer(store, name="store")


def _version(asked: bool) -> None:
    if asked:
        try:
            print(f"bistil {version('bistil')}")
        except PackageNotFoundError:
            print("bistil (not installed)")
        raise typer.Exit


@app.callback()
def _app(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Distill a multilingual encoder into a small, fast model for your languages.

    \b
    bistil quickstart                   see it work, on real English and Turkish
    bistil init --help                  write a recipe for your own files
    bistil plan recipe.yaml             what a run would do and how long it would take
    bistil run recipe.yaml              distill, evaluate, report
    bistil fleet matrix.yaml            the same for many languages, tasks and students
    bistil distill recipe.yaml          only general distillation, without a task
    bistil teach recipe.yaml            only fine-tune the teacher on the tasks
    bistil transfer recipe.yaml         only distill the tasks, without baselines and report
    bistil eval MODEL FILE              score a model on a labelled file
    bistil predict MODEL texts.txt      use the resulting model
    bistil bench MODEL MODEL FILE       size and speed of models
    bistil export MODEL                 ONNX and int8, with the score kept
    bistil serve MODEL...               an HTTP service, and a page to try it
    bistil push MODEL OWNER/NAME        a model on the hub, with its card
    bistil vocab --help                 only make a model smaller, without training
    bistil adapt --help                 learn a language from plain text, as a delta
    bistil delta --help                 tasks and languages in a few megabytes, to apply to a model
    bistil store --help                 what several machines have made and share
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status is 2 for whatever the user can fix, 130 after Ctrl-C."""
    _quiet()
    sleep_early()
    given = [_at_home(one) for one in (sys.argv[1:] if arguments is None else arguments)]
    try:
        with naming_extras(" ".join(["bistil", *given[:1]])):
            app(args=given, prog_name="bistil")
    except BistilError as error:
        message = str(error)
    except OSError as error:
        if (problem := system_problem(error)) is None:
            raise
        message = problem
    else:
        return 0
    print(f"bistil: {message}", file=sys.stderr)
    return 2


def _at_home(argument: str) -> str:
    """``--out=~/tagger`` with the home folder, which bash leaves as it is: nobody wants a folder named ~."""
    option, _, value = argument.partition("=")
    return (
        f"{option}={os.path.expanduser(value)}" if option.startswith("--") and value.startswith("~/") else argument
    )


def _show(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"bistil: {message}", file=sys.stderr)


def _quiet() -> None:
    """Only bistil speaks: before transformers is imported, as it reads these then."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", BistilWarning)
    warnings.showwarning = _show
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="strict" if stream is sys.stdin else "replace")
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(newline="\n")  # on Windows, too: CoNLL-U has no other line ends
