"""Runs code of docs/loaders.md in some environment, in each of several folders, and then calls with its names.

Reads ``{"code", "calls", "folders"}`` as JSON; writes for each folder what the calls, expressions in Python, give,
or the first line of the error.
"""

import json
import os
import sys
from typing import Any


def plain(value: Any) -> Any:
    """Of numpy."""
    return value.tolist()


def main() -> None:
    job = json.load(sys.stdin)
    found: dict[str, Any] = {}
    for folder in job["folders"]:
        os.chdir(folder)
        names: dict[str, Any] = {"given": job["given"]}
        try:
            exec(job["code"], names)
            found[folder] = [eval(call, names) for call in job["calls"]]
        except Exception as error:
            found[folder] = f"{type(error).__name__}: {str(error).splitlines()[0]}"
    print("\n" + json.dumps(found, default=plain))


if __name__ == "__main__":
    main()
