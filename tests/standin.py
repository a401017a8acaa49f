"""A stand-in of the model hub's HTTP API on loopback: repositories, commits, large files, downloads."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

TOKEN = "hf_standin"
_LARGE = (".safetensors", ".onnx")


@dataclass
class Hub:
    """What arrived: the files of each repository and branch, which are private, and every request."""

    repos: dict[str, dict[str, dict[str, bytes]]] = field(default_factory=dict)
    private: set[str] = field(default_factory=set)
    objects: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    refused: int = 0  # the status of every attempt to write, if it is to fail
    address: str = ""


@contextmanager
def served() -> Iterator[Hub]:
    hub = Hub()

    class Handler(_Handler):
        state = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: Hub

    def log_message(self, *arguments: Any) -> None:
        pass

    def do_POST(self) -> None:
        path, body = self._begin()
        if self.state.refused:
            return self._json({"error": "as the test wants it"}, self.state.refused)
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._json({"error": "Invalid username or password."}, 401)
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path == "/api/validate-yaml":
            return self._validate(json.loads(body)["content"])
        if found := re.fullmatch(r"/(.+)\.git/info/lfs/objects/batch", path):
            return self._batch(json.loads(body)["objects"])
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/(preupload|commit|branch)/(.+)", path):
            name, action, revision = found[1], found[2], unquote(found[3])
            if name not in self.state.repos:
                return self._missing()
            if action == "branch":
                self.state.repos[name].setdefault(revision, {})
                return self._json({})
            return getattr(self, f"_{action}")(name, revision, body)
        return self._missing()

    def do_PUT(self) -> None:
        path, body = self._begin()
        oid = path.removeprefix("/objects/")
        if hashlib.sha256(body).hexdigest() != oid:
            return self._json({"error": "wrong hash"}, 400)
        self.state.objects[oid] = body
        return self._json({})

    def do_GET(self) -> None:
        path, _ = self._begin()
        if (given := self.headers.get("Authorization")) not in (None, f"Bearer {TOKEN}"):
            wrong = {"X-Error-Message": "Invalid credentials in Authorization header"}
            return self._json({"error": "Invalid credentials"}, 401, wrong)
        if given is None and any(f"/{name}" in path for name in self.state.private):
            return self._json({"error": "Invalid username or password."}, 401)
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+))?", path):
            name, what, revision = found[1], found[2], self._branch(unquote(found[3] or "main"))
            files = self.state.repos.get(name, {}).get(revision)
            if files is None:
                return self._missing()
            if what == "tree":
                return self._json([self._entry(file, content) for file, content in sorted(files.items())])
            return self._json({"id": name, "sha": _sha(revision), "private": name in self.state.private})
        if found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            revision = self._branch(unquote(found[2]))
            content = self.state.repos.get(found[1], {}).get(revision, {}).get(unquote(found[3]))
            if content is None:
                return self._missing("EntryNotFound")
            headers = {"X-Repo-Commit": _sha(revision), "ETag": f'"{hashlib.sha1(content).hexdigest()}"'}
            return self._send(content, 200, headers)
        return self._missing("EntryNotFound")

    do_HEAD = do_GET

    def _create(self, asked: dict[str, Any]) -> None:
        name = f"{asked.get('organization') or 'me'}/{asked['name']}"
        there = name in self.state.repos
        if not there:
            self.state.repos[name] = {"main": {}}
            if asked.get("visibility") == "private" or asked.get("private"):
                self.state.private.add(name)
        self._json({"url": f"{self.state.address}/{name}"}, 409 if there else 200)

    def _validate(self, content: str) -> None:
        metadata = yaml.safe_load(content.split("---\n")[1]) if content.startswith("---\n") else {}
        languages = metadata.get("language", [])
        wrong = [one for one in languages if not isinstance(one, str) or not re.fullmatch("[a-z]{2,3}", one)]
        self._json({"errors": [{"message": f"no language: {one}"} for one in wrong]}, 400 if wrong else 200)

    def _preupload(self, name: str, revision: str, body: bytes) -> None:
        files = [
            {
                "path": one["path"],
                "uploadMode": "lfs" if one["path"].endswith(_LARGE) else "regular",
                "shouldIgnore": False,
            }
            for one in json.loads(body)["files"]
        ]
        self._json({"files": files})

    def _batch(self, objects: list[dict[str, Any]]) -> None:
        answers = []
        for one in objects:
            upload = {"actions": {"upload": {"href": f"{self.state.address}/objects/{one['oid']}"}}}
            answers.append({**one, **({} if one["oid"] in self.state.objects else upload)})
        self._json({"transfer": "basic", "objects": answers})

    def _commit(self, name: str, revision: str, body: bytes) -> None:
        files = self.state.repos[name].setdefault(revision, {})
        for line in body.splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif item["key"] == "lfsFile":
                files[value["path"]] = self.state.objects[value["oid"]]
        address = f"{self.state.address}/{name}/commit/{_sha(revision)}"
        self._json({"commitUrl": address, "commitOid": _sha(revision), "pullRequestUrl": None})

    def _entry(self, name: str, content: bytes) -> dict[str, Any]:
        return {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}

    def _branch(self, revision: str) -> str:
        """Commits are named after their branch: there is one of each."""
        return (
            bytes.fromhex(revision).rstrip(b"\0").decode() if re.fullmatch("[0-9a-f]{40}", revision) else revision
        )

    def _begin(self) -> tuple[str, bytes]:
        path = urlsplit(self.path).path
        self.state.requests.append(f"{self.command} {path}")
        return path, self._body()

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _missing(self, code: str = "RepoNotFound") -> None:
        self._json({"error": "not found"}, 404, {"X-Error-Code": code})

    def _json(self, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._send(json.dumps(value).encode(), status, {"Content-Type": "application/json", **(headers or {})})

    def _send(self, content: bytes, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def _sha(branch: str) -> str:
    return branch.encode().ljust(20, b"\0").hex()
