"""A registry of npm packages on this machine, for tests that must not fetch the real ones."""

import base64
import hashlib
import io
import tarfile
import threading
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from bistil.exporting import web


def tarball(members):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for member in members:
            content = f"contents of {member}".encode()
            entry = tarfile.TarInfo(f"package/{member}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return file.getvalue()


def integrity(content):
    return f"sha512-{base64.b64encode(hashlib.sha512(content).digest()).decode()}"


@contextmanager
def registry(tmp_path, monkeypatch):
    """A registry on this machine with packages of small files under the names of the real ones."""
    archives, pinned = {}, {}
    for package, places in web._VENDOR.items():
        content = tarball(package.members)
        archives[f"/npm/{package.name}/-/{package.name.rpartition('/')[2]}-{package.version}.tgz"] = content
        pinned[replace(package, integrity=integrity(content))] = places
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200 if self.path in archives else 404)
            self.end_headers()
            self.wfile.write(archives.get(self.path, b""))

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(web, "_VENDOR", pinned)
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", f"http://127.0.0.1:{server.server_port}/npm/")
    monkeypatch.setenv("BISTIL_CACHE", str(tmp_path / "cache"))
    yield asked
    server.shutdown()
    server.server_close()
