"""`bistil` for the shell of the docs' blocks: a process that has imported everything forks for each command.

A shell runs the blocks as they stand, with their pipes, loops and files; importing torch anew for each of some
thirty commands would take minutes.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Hands its arguments, folder, input and outputs over, and ends as the command does.
_CLIENT = """\
#!{python} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as link:
    link.connect({address!r})
    socket.send_fds(link, [json.dumps([os.getcwd(), *sys.argv[1:]]).encode()], [0, 1, 2])
    sys.exit(int(link.recv(8) or 70))
"""


@contextmanager
def served() -> Iterator[Path]:
    """The folder of a `bistil` that runs in this checkout; offline."""
    with tempfile.TemporaryDirectory() as folder:
        address, command = f"{folder}/link", Path(folder, "bistil")
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        environment["OBJC_DISABLE_INITIALIZE_FORK_SAFETY"] = "YES"  # macOS
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.docs.commands", address],
            cwd=Path(__file__).parents[2],
            env=environment,
            stdout=subprocess.PIPE,
        )
        try:
            assert server.stdout
            assert server.stdout.readline() == b"ready\n"
            command.write_text(_CLIENT.format(python=sys.executable, address=address), encoding="utf-8")
            command.chmod(0o755)
            (Path(folder) / "pip").symlink_to(
                shutil.which("true") or "/bin/true"
            )  # what the docs install is there
            yield Path(folder)
        finally:
            server.kill()
            server.wait()
            if server.stdout:
                server.stdout.close()


def serve(address: str) -> None:
    """Forks for each command that comes; the child tells how it ended."""
    import signal

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the children
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen()
        print("ready", flush=True)
        while True:
            link, _ = listening.accept()
            with link:
                message, streams, *_ = socket.recv_fds(link, 1 << 16, 3)
                if os.fork() == 0:
                    _run(link, message, streams)
                for stream in streams:
                    os.close(stream)


def _run(link: socket.socket, message: bytes, streams: list[int]) -> None:
    import json
    import signal
    import traceback

    from bistil.cli import main

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w"), os.fdopen(2, "w")
    folder, *arguments = json.loads(message)
    os.chdir(folder)
    os.environ["BISTIL_CACHE"] = f"{folder}/cache"
    status = 70
    try:
        status = main(arguments)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        link.sendall(str(status).encode())
        os._exit(0)


if __name__ == "__main__":
    import gc

    import pytest
    import torch
    from tests.docs import sandbox  # with what the commands import  # noqa: F401
    from tests.docs.small import shorten

    torch.set_num_threads(1)
    shorten(pytest.MonkeyPatch())
    gc.freeze()  # each training collects garbage: without what was imported that is quick
    serve(sys.argv[1])
