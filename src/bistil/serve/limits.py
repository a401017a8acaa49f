"""What a server takes: sizes and times, and the middleware that holds to them before a request is read."""

import asyncio
from dataclasses import dataclass
from typing import Any

Scope = dict[str, Any]
_DROPPED = 32  # times the largest body


@dataclass(frozen=True)
class Limits:
    """Of a request and of what may wait; beyond them the answer is 408, 413, 422 or 503, never a slow server.

    Args:
        body: bytes of a request's body.
        texts: how many a request may have.
        characters: of one text, or of the words of one.
        waiting: texts that may wait for the models together.
        seconds: until a request is answered; a body must have come by then, too.
    """

    body: int = 1_000_000
    texts: int = 256
    characters: int = 20_000
    waiting: int = 1_024
    seconds: float = 30.0


class WholeBodies:
    """ASGI middleware that reads a request's body before the application does, within the limits.

    One that is too large is answered with 413, one that does not come in time with 408, and the connection is
    closed. Most clients read an answer only after they have sent everything, so a body that is a little too large
    is read to its end, and dropped.
    """

    def __init__(self, app: Any, limits: Limits) -> None:
        self._app, self._limits = app, limits

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """The application with the whole body at hand."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most, body, size = self._limits.body, b"", 0
        try:
            async with asyncio.timeout(self._limits.seconds):
                more = True
                while more and size <= _DROPPED * most:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return
                    size += len(message.get("body", b""))
                    body = body + message.get("body", b"") if size <= most else b""
                    more = message.get("more_body", False)
        except TimeoutError:
            await _refused(scope, send, 408, f"The body did not come within {self._limits.seconds:g} seconds.")
            return
        if size > most:
            await _refused(scope, send, 413, f"The body has more than {most:,} bytes. Send fewer texts at once.")
            return
        read = False

        async def whole() -> dict[str, Any]:
            nonlocal read
            if read:
                message: dict[str, Any] = await receive()
                return message
            read = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, whole, send)


async def _refused(scope: Scope, send: Any, status: int, detail: str) -> None:
    from starlette.responses import JSONResponse

    async def nothing() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    await JSONResponse({"detail": detail}, status, {"Connection": "close"})(scope, nothing, send)
