"""Text that lies in a store: what an fsspec URL means, such as ``s3://bucket/en/*.parquet``."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, cast

from bistil.errors import BistilError

if TYPE_CHECKING:
    from upath import UPath

_URL = re.compile(r"[a-z][a-z0-9+.-]*://\S+$")
# Where stores keep a checksum of a file, or a web server without one the time of its last change; those without
# either are known by whatever else fsspec says of it.
_CHECKSUMS = ("ETag", "etag", "md5Hash", "content_md5", "sha256", "Content-MD5", "Last-Modified")


def is_url(pattern: str) -> bool:
    """Whether a pattern names a place by its protocol; text with an address in it does not."""
    return _URL.match(pattern) is not None


def matches(url: str, suffixes: tuple[str, ...]) -> list[Path]:
    """The files that a URL means, a glob (``**`` included) or a folder among them; none where nothing is there.

    Of a folder, files of these suffixes at any depth. They are read like a `Path`; those of ``file://`` are one.
    A protocol that is not known, one whose package is missing, and a store that does not answer raise
    `BistilError`.

    Example: ``matches("memory://shards/*.jsonl", (".jsonl",))`` is ``[UPath("memory://shards/0.jsonl")]``.
    """
    import fsspec  # a base install, which asks whether something is a URL, has none
    from fsspec.implementations.local import LocalFileSystem
    from upath import UPath

    try:
        store, path = fsspec.url_to_fs(url)
        if store.isdir(path):
            found = [one for one in store.find(path) if one.endswith(suffixes)]
        elif any(sign in path for sign in "*?["):
            found = [one for one in store.glob(path) if store.isfile(one)]
        else:
            found = [path] if store.isfile(path) else []
    except (ImportError, ValueError) as error:  # fsspec names the package, or the protocol that it does not know
        raise BistilError(f"{url} cannot be read here: {error}. Install that, or correct the address.") from error
    except Exception as error:  # every store has exceptions of its own
        raise BistilError(
            f"{url} cannot be listed ({error}). Check the address, the connection and the access rights."
        ) from error
    if isinstance(store, LocalFileSystem):
        return [Path(one) for one in found]
    return [cast(Path, UPath(store.unstrip_protocol(one))) for one in found]


def fingerprint(path: Path) -> str:
    """Name, size and the store's own checksum, or time, of a file: to hash its bytes would be to read it all."""
    remote = cast("UPath", path)
    try:
        facts = remote.fs.info(remote.path)
        checksum = next((facts[name] for name in _CHECKSUMS if facts.get(name)), None)
        return f"{path}:{facts['size']}:{checksum or remote.fs.ukey(remote.path)}"
    except Exception as error:
        raise BistilError(f"{path} cannot be found ({error}). Check the address and the access rights.") from error
