"""The process that serves: its socket, its signals, and connections on which nothing comes."""

import asyncio
import contextlib
import logging
import re
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from bistil.errors import BistilError
from bistil.serve.app import Service, application
from bistil.serve.limits import Limits
from bistil.serve.observed import JsonLines, said
from bistil.serve.served import Served, named

_HEAD_SECONDS = 10.0  # in which the head of a request must have come
_TOKEN = re.compile("[!-~]([ -~]*[!-~])?")  # what arrives in a header as it was sent


class _Protocol(HttpToolsProtocol):
    """uvicorn's, which closes a connection on which no request comes, or only slowly."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._patience = self.loop.call_later(_HEAD_SECONDS, self._give_up)

    def data_received(self, data: bytes) -> None:
        waited = self.cycle is None or self.cycle.response_complete
        super().data_received(data)
        begun = self.cycle is not None and not self.cycle.response_complete
        if begun:
            self._patience.cancel()
        elif waited and self._patience.cancelled():  # a further request, whose head is not whole yet
            self._patience = self.loop.call_later(_HEAD_SECONDS, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        self._patience.cancel()
        super().connection_lost(exc)

    def _give_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()


def serve(
    models: Sequence[str], *, host: str, port: int, token: str | None = None, limits: Limits | None = None
) -> None:
    """Serves models until SIGTERM or Ctrl-C; requests that came by then are answered.

    SIGHUP takes up models that were replaced on disk. Port 0 takes one that is free.

    Args:
        models: ``FOLDER`` or ``NAME=FOLDER`` of each.
        host: the address to listen at.
        port: its port.
        token: what clients must send as a bearer token; None asks for none.
        limits: what is taken.

    Raises:
        BistilError: a folder without a task model, a token that no client can send, or a port that another
            program has.
    """
    if token is not None and not _TOKEN.fullmatch(token):
        raise BistilError(  # the token itself is a secret
            "A token is one or more printable ASCII characters without blanks at either end, and the one given is "
            "not. Give another, or unset BISTIL_TOKEN to serve without a token."
        )
    served = named(models)
    _open_more_files()
    listening = _listening(host, port)
    _log()
    address = f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}"

    async def run() -> None:
        service = Service(served, limits or Limits())
        loop, tasks = asyncio.get_running_loop(), set[asyncio.Task[None]]()

        def reload() -> None:
            tasks.add(task := loop.create_task(service.reload()))
            task.add_done_callback(tasks.discard)

        def started() -> None:
            if hasattr(signal, "SIGHUP"):
                loop.add_signal_handler(signal.SIGHUP, reload)
            _greet(address, [*served.values()])

        config = uvicorn.Config(
            application(service, token, started),
            http=_Protocol,
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=30,
        )
        await uvicorn.Server(config).serve(sockets=[listening])

    for stop in (signal.SIGTERM, signal.SIGINT):  # which uvicorn raises again once it has stopped
        signal.signal(stop, lambda *_: None)
    with asyncio.Runner(loop_factory=_loop()) as runner:
        runner.run(run())
    said("stopped")


def _open_more_files() -> None:
    """As many as the system allows: each connection is one, and often 1,024 are allowed at first."""
    try:
        import resource
    except ImportError:  # Windows, which has no such limit
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS has a lower one than it says
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """A faster one, which there is everywhere but on Windows."""
    try:
        from uvloop import new_event_loop
    except ImportError:
        return None
    return new_event_loop


def _listening(host: str, port: int) -> socket.socket:
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=2048)
    except OSError as error:
        raise BistilError(
            f"Cannot listen at {host}, port {port}: {error.strerror}. Give another --host or --port."
        ) from error


def _greet(address: str, served: Sequence[Served]) -> None:
    for one in served:
        facts = f"{one.model.learned.title}, {one.engine}, {one.megabytes} MB"
        print(f"{one.name}: {facts}, {address}/predict/{one.name}")
    print(f"\nOpen {address} to try {'it' if len(served) == 1 else 'them'}. Ctrl-C stops.", flush=True)
    said("started", address=address, models=[one.name for one in served])


def _log() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    for name in ("bistil.serve", "uvicorn", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = ([handler] if name != "uvicorn.error" else []), name == "uvicorn.error"
    logging.getLogger("bistil.serve").setLevel(logging.INFO)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
