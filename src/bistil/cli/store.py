"""`bistil store`: what several machines share, to list, check and tidy."""

from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from bistil.errors import BistilError

if TYPE_CHECKING:
    from bistil.fleet.store import Store

store = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
Url = Annotated[str, typer.Argument(metavar="URL", help="A folder, s3://BUCKET/PATH, gs://BUCKET/PATH …")]


@store.callback()
def _store() -> None:
    """The store of stages that `bistil run --store URL` fills: folders by fingerprint, each whole or absent.

    \b
    bistil store list s3://bucket/bistil
    bistil store verify s3://bucket/bistil
    bistil store prune s3://bucket/bistil --older 24
    """


@store.command("list")
def list_(url: Url) -> None:
    """List the stages that are whole: size, number of files, name.

    \b
    bistil store list /mnt/shared/bistil
    """
    from bistil.report import formats

    opened = _opened(url)
    for key in opened.entries():
        for artefact in opened.whole(key)[:1]:
            print(f"{formats.size(artefact.bytes):>9}  {len(artefact.files):3} files  {key}")


@store.command()
def verify(url: Url) -> None:
    """Read every byte and compare it with its SHA-256; exits with status 1 where something is damaged.

    What is damaged is made again by the next run that needs it.

    \b
    bistil store verify /mnt/shared/bistil
    """
    opened, damaged, count = _opened(url), 0, 0
    for key in opened.entries():
        for artefact in opened.whole(key):
            count += 1
            if (wrong := opened.damage(artefact)) is not None:
                damaged += 1
                print(f"{key}: {wrong}")
    print(f"{count} stages read, {damaged} damaged")
    if damaged:
        raise typer.Exit(1)


@store.command()
def prune(
    url: Url,
    older: Annotated[
        float, typer.Option(min=0, max=1_000_000, help="Leave what was written in the last hours.")
    ] = 24.0,
) -> None:
    """Delete what nothing needs: unfinished uploads, second copies, checkpoints and leases of finished stages.

    \b
    bistil store prune /mnt/shared/bistil
    """
    from bistil.fleet.pruning import prune as pruned
    from bistil.report import formats

    freed = pruned(
        _opened(url), timedelta(hours=older), lambda path, size: print(f"{formats.size(size):>9}  {path}")
    )
    print(f"{formats.size(freed)} deleted")


@store.command()
def du(url: Url) -> None:
    """Sum up the sizes by kind of stage.

    \b
    bistil store du /mnt/shared/bistil
    """
    from bistil.report import formats

    opened = _opened(url)
    sizes: dict[str, int] = defaultdict(int)
    for key in opened.entries():
        sizes[key.rpartition("-")[0]] += sum(artefact.bytes for artefact in opened.whole(key))
    sizes["checkpoints"] = sum(
        own.bytes for key in opened.entries("checkpoints") for own in opened.whole(key, "checkpoints")
    )
    for kind, size in sorted(sizes.items(), key=lambda pair: -pair[1]):
        print(f"{formats.size(size):>9}  {kind}")
    print(f"{formats.size(sum(sizes.values())):>9}  in all")


def _opened(url: str) -> "Store":
    """A store that is there: a mistyped path is no empty one."""
    from bistil.fleet.store import Store

    opened = Store(url)
    if not opened.exists:
        raise BistilError(f"There is no store at {url}. `bistil run RECIPE --store {url}` makes one.")
    return opened
