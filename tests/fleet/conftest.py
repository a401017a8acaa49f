"""Stores of every kind that is tested: a folder, fsspec's memory, and S3 as moto's server speaks it (loopback)."""

import io
import threading
from collections.abc import Iterator
from uuid import uuid4

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from bistil.fleet.store import Store


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """The address of an S3 server with an empty bucket, ``bucket``."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    import boto3

    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=f"http://{host}:{port}", **keys).create_bucket(Bucket="bucket")
    yield f"http://{host}:{port}"
    server.stop()


def use_s3(address: str, monkeypatch) -> None:
    """All S3 clients of this process speak with the server there."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    for name, value in (("ACCESS_KEY_ID", "test"), ("SECRET_ACCESS_KEY", "test"), ("DEFAULT_REGION", "us-east-1")):
        monkeypatch.setenv(f"AWS_{name}", value)


def as_of_machines(monkeypatch) -> None:
    """fsspec's memory made a store of several machines, which folders and S3 are by themselves.

    All who read a file there share one position in it, and two who create a file at once both do.
    """
    opened, put, alone = MemoryFileSystem._open, MemoryFileSystem.pipe_file, threading.Lock()

    def open_own(self, path, mode="rb", **options):
        return io.BytesIO(self.cat_file(path)) if mode == "rb" else opened(self, path, mode, **options)

    def put_alone(*arguments, **options):
        with alone:
            put(*arguments, **options)

    monkeypatch.setattr(MemoryFileSystem, "_open", open_own)
    monkeypatch.setattr(MemoryFileSystem, "pipe_file", put_alone)


@pytest.fixture(params=["folder", "memory", "s3"])
def url(request, tmp_path, monkeypatch) -> str:
    """Of an empty store."""
    if request.param == "folder":
        return str(tmp_path / "store")
    if request.param == "memory":
        as_of_machines(monkeypatch)
        return f"memory://{uuid4().hex}"
    use_s3(request.getfixturevalue("s3"), monkeypatch)
    return f"s3://bucket/{uuid4().hex}"


@pytest.fixture
def store(url) -> Store:
    return Store(url)
