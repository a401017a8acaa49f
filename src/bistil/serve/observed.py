"""What a server says of itself: Prometheus metrics, and a log of JSON lines that never holds a text."""

import json
import logging
import time
from collections.abc import Collection
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector

LOG = logging.getLogger("bistil.serve")
_GONE = 499  # no answer's, and that of other servers' logs for a client that closed the connection
_HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'self'; frame-ancestors 'self'; base-uri 'none'; form-action 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Metrics:
    """Counts and times by model, for ``/metrics``."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)

        def of(kind: Any, name: str, what: str, labels: tuple[str, ...] = ("model",), **more: Any) -> Any:
            return kind(f"bistil_{name}", what, labels, registry=self.registry, **more)

        self.requests = of(Counter, "requests", "requests by model and HTTP status", ("model", "status"))
        self.texts = of(Counter, "texts", "texts of answered requests")
        self.seconds = of(Histogram, "request_seconds", "from request to answer", buckets=_SECONDS)
        self.batch = of(Histogram, "batch_texts", "texts that went through the model together", buckets=_TEXTS)
        self.waiting = of(Gauge, "waiting_texts", "texts that wait or are run", ())

    def answered(self, model: str, status: int, texts: int, seconds: float) -> None:
        """Notes one request, and logs it."""
        self.requests.labels(model, str(status)).inc()
        self.seconds.labels(model).observe(seconds)
        if status == 200:
            self.texts.labels(model).inc(texts)
        said("request", model=model, status=status, texts=texts, milliseconds=round(1000 * seconds, 1))


class Noted:
    """ASGI middleware that notes each request to one of the models, and adds the headers of every answer."""

    def __init__(self, app: Any, models: Collection[str], metrics: Metrics) -> None:
        self._app, self._models, self._metrics = app, models, metrics

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """The application, watched."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        status: int | None = None
        state["came"] = time.perf_counter()

        async def noted(message: dict[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *_HEADERS]
            await send(message)

        try:
            await self._app(scope, receive, noted)
            status = status or _GONE
        finally:
            _, _, name = scope["path"].partition("/predict/")
            if name in self._models:
                seconds = time.perf_counter() - state["came"]
                self._metrics.answered(name, status or 500, state.get("texts", 0), seconds)


def said(event: str, **facts: Any) -> None:
    """A line of the log: ``{"time": "…", "event": "request", "model": "pos", "status": 200, …}``."""
    LOG.info(event, extra={"facts": facts})


class JsonLines(logging.Formatter):
    """A record as one line of JSON; what uvicorn logs, too."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {"time": f"{at}.{int(record.msecs):03d}Z", "level": record.levelname.lower()}
        line |= {"event": record.getMessage(), **getattr(record, "facts", {})}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)
