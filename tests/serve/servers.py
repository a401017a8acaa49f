"""A real server in a process of its own, and one for files, on loopback."""

import functools
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

KINDS = ("pos", "ner", "parsing", "classification", "qa")


@contextmanager
def serving(handler: type[SimpleHTTPRequestHandler], folder: Path) -> Iterator[str]:
    """The address at which the files of a folder are."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


class Server:
    """``bistil serve`` with some arguments; stopped at the latest when the block ends."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        command = [sys.executable, "-m", "bistil", "serve", *arguments, "--port", "0"]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | environment
        )
        self.printed = ""
        self.logged: list[dict[str, Any]] = []
        self.port = 0
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.printed += line
            if found := re.match(r"Open http://.*:(\d+) to try", line):
                self.port = int(found[1])
                break
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.logged.append(json.loads(line) if line.startswith("{") else {"event": line})

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: Any) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)

    def asked(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, seconds: float = 30
    ) -> tuple[int, Any]:
        """Status, and what JSON or text the answer holds; a body that is no bytes is sent as JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=seconds)
        sent = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection.request(method, path, sent, {"Content-Type": "application/json", **(headers or {})})
        answer = connection.getresponse()
        found = answer.read().decode()
        self.headers = dict(answer.getheaders())
        connection.close()
        is_json = found and "json" in self.headers.get("content-type", "")  # the answer to HEAD is empty
        return answer.status, json.loads(found) if is_json else found

    def predicted(self, name: str, *inputs: Any) -> list[Any]:
        """The results for inputs that are all right."""
        status, found = self.asked("POST", f"/predict/{name}", {"inputs": [*inputs]})
        assert status == 200, found
        return found["results"]
