"""What nothing in a store needs any more."""

import contextlib
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from bistil.fleet.store import KINDS, LEASES, Store, name_of

# names as bistil gives them: others in these folders are somebody else's
_KEY = re.compile(r"[a-z_-]+-[0-9a-f]{10}")
_ATTEMPT = re.compile(r"[0-9a-f]{32}(\.json)?")
_LEASE = re.compile(r"[0-9]{6,}\.json")
_UNFINISHED = re.compile(r"\.([0-9a-f]{32}|[0-9]{6,})\.json\.[0-9a-f]{32}")  # of a file that a kill cut off


def prune(store: Store, grace: timedelta, on_path: Callable[[str, int], None] | None = None) -> int:
    """Removes what nothing needs (`unneeded`); returns its bytes."""
    freed = 0
    for path, size in list(unneeded(store, grace)):
        store.delete(path)
        freed += size
        if on_path is not None:
            on_path(path, size)
    return freed


def unneeded(store: Store, grace: timedelta) -> Iterator[tuple[str, int]]:
    """Paths that nothing needs, with their bytes.

    These are uploads that were never finished, second attempts, checkpoints and leases of whole stages. What was
    written in the time of ``grace`` may be in use, and stays; so does what has no name of bistil's.
    """
    before = datetime.now(UTC) - grace
    keys = {part: list(filter(_KEY.fullmatch, map(name_of, store.listed(part)))) for part in (*KINDS, LEASES)}
    done = {key for key in keys["artefacts"] if store.whole(key)}
    for kind in KINDS:
        for key in keys[kind]:
            kept = [own.attempt for own in store.whole(key, kind)][-1 if kind == "checkpoints" else 0 :][:1]
            if kind == "checkpoints" and key in done:
                kept = []
            for path in _named(store, _ATTEMPT, kind, key):
                if name_of(path).removesuffix(".json") not in kept:
                    yield from _old(store, path, before)
    for key in done.intersection(keys[LEASES]):
        for path in _named(store, _LEASE, LEASES, key):
            yield from _old(store, path, before)
    for part, own in keys.items():
        for key in own:
            for path in _named(store, _UNFINISHED, part, key):
                yield from _old(store, path, before)


def _named(store: Store, form: re.Pattern[str], *parts: str) -> list[str]:
    """What lies in a folder of the store under names of a form."""
    return [path for path in store.listed(*parts, hidden=True) if form.fullmatch(name_of(path))]


def _old(store: Store, path: str, before: datetime) -> Iterator[tuple[str, int]]:
    """A path, unless anything below it is new."""
    with contextlib.suppress(FileNotFoundError):
        below = store.files.find(path) or [path]
        if all(_aware(store.files.modified(one)) <= before for one in below):
            yield path, store.size(path)


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
