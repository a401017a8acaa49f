"""What S3 answers now and then when a file is created, from a server on the loopback that does so at once."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tests.fleet.conftest import use_s3

from bistil.errors import BistilError
from bistil.fleet import store as stores
from bistil.fleet.lease import Lease
from bistil.fleet.store import Store

KEY = "distill-0123456789"
EMPTY = "<ListBucketResult><KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>"


class S3(ThreadingHTTPServer):
    """Of all that S3 does: files that are created, read and listed. Its first answers to a creation go wrong."""

    def __init__(self, wrong: list[str]) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.wrong, self.files = wrong, dict[str, bytes]()


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b""):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def error(self, status, code):
        self.answer(status, f"<Error><Code>{code}</Code><Condition>If-None-Match</Condition></Error>".encode())

    def do_GET(self):
        if "list-type" in self.path:
            self.answer(200, EMPTY.encode())
        elif (content := self.server.files.get(self.path.partition("?")[0])) is None:
            self.error(404, "NoSuchKey")
        else:
            self.answer(200, content)

    do_HEAD = do_GET

    def do_PUT(self):
        content = self.rfile.read(int(self.headers["Content-Length"]))
        wrong = self.server.wrong.pop(0) if self.server.wrong else ""
        if wrong == "conflict":
            self.error(409, "ConditionalRequestConflict")
        elif self.headers["If-None-Match"] and self.path in self.server.files:
            self.error(412, "PreconditionFailed")
        else:
            self.server.files[self.path] = content
            if wrong == "lost":
                self.close_connection = True
            else:
                self.answer(200)


@pytest.fixture
def served(monkeypatch):
    """A store on a server with these wrong answers."""
    clients = pytest.importorskip("s3fs").S3FileSystem
    started = []

    def start(*wrong):
        clients.clear_instance_cache()  # these keep the address
        started.append(S3([*wrong]))
        threading.Thread(target=started[-1].serve_forever, args=(0.05,), daemon=True).start()
        use_s3(f"http://127.0.0.1:{started[-1].server_port}", monkeypatch)
        return Store("s3://bucket/bistil")

    yield start
    for server in started:
        server.shutdown()
        server.server_close()
    clients.clear_instance_cache()


def test_of_two_that_create_at_the_same_moment_one_asks_again(served):
    store = served("conflict", "conflict")
    assert store.create("leases", KEY, "000001.json", content=b"x")
    assert store.read("leases", KEY, "000001.json") == b"x"
    assert not store.create("leases", KEY, "000001.json", content=b"y")


def test_a_conflict_that_does_not_end_is_said(served, monkeypatch):
    monkeypatch.setattr(stores, "_PAUSES", (0.01,))
    with pytest.raises(BistilError, match=r"cannot be written to: .*ConditionalRequestConflict"):
        served("conflict", "conflict").create("leases", KEY, "000001.json", content=b"x")


def test_a_lease_whose_answer_was_lost_is_its_creators(served):
    store = served("lost")
    own = Lease.create(store, KEY, 1, 120.0)
    assert own is not None
    assert own._thread.is_alive()
    own._stop.set()
    assert Lease.create(store, KEY, 1, 120.0) is None
