"""The application: what is answered at which address."""

import asyncio
import hmac
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, TypeAdapter
from starlette.exceptions import HTTPException  # of which FastAPI's is one

import bistil
from bistil import exporting
from bistil.errors import BistilError
from bistil.runtime.threads import available
from bistil.serve.batcher import Batcher, Full, Room
from bistil.serve.limits import Limits, WholeBodies
from bistil.serve.observed import LOG, Metrics, Noted, said
from bistil.serve.schemas import Models, Problem, State, request_type, result_type
from bistil.serve.served import Served

_BACKEND = Path(__file__).parent / "backend.js"
_COLUMN = re.compile("[a-z_]+")  # and not the name of a type
_PAGE = Path(exporting.__file__).parent / "page"
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "The body is not JSON."},
    401: {"model": Problem, "description": "No token, or another one."},
    408: {"model": Problem, "description": "The body did not come in time."},
    413: {"model": Problem, "description": "The body is too large."},
    422: {"model": Problem, "description": "The inputs are not what the model takes."},
    503: {"model": Problem, "description": "Too many requests wait, or this one waited too long. Try again."},
}


class Service:
    """The models that are served, and how they are run and replaced."""

    def __init__(self, models: dict[str, Served], limits: Limits) -> None:
        self.models, self.limits, self.metrics = models, limits, Metrics()
        self.ready = True
        self._room, self._cores = Room(limits.waiting), available()
        self._turns = asyncio.Semaphore(self._cores)
        self.metrics.waiting.set_function(lambda: self._room.taken)
        self._batchers = {name: self._batcher(name) for name in models}

    def _batcher(self, name: str) -> Batcher[Any, Any]:
        on_batch = self.metrics.batch.labels(name).observe
        run = partial(self._run, name)
        return Batcher(run, self._room, self._turns, self._cores, on_batch=on_batch)

    def _run(self, name: str, examples: list[Any]) -> list[Any]:
        """Results of the model that has the name now."""
        model = self.models[name].model
        pairs = zip(examples, model.predict(examples), strict=True)
        return [model.learned.result(example, prediction) for example, prediction in pairs]

    async def results(self, name: str, inputs: list[Any]) -> list[Any]:
        """What a model says of the inputs, checked ones.

        Raises BistilError for an input that is not for it, `Full` where too much waits, and TimeoutError.
        """
        read = self.models[name].model.example
        examples = [
            read(one.model_dump() if isinstance(one, BaseModel) else one, f"inputs.{number}")
            for number, one in enumerate(inputs)
        ]
        async with asyncio.timeout(self.limits.seconds):
            return await self._batchers[name](examples)

    async def reload(self) -> None:
        """Takes up what is in the models' folders now; a model that cannot be loaded stays as it was."""
        for name, served in self.models.items():
            try:
                self.models[name] = await asyncio.to_thread(served.reloaded)
                said("reloaded", model=name)
            except Exception as error:  # whatever it is, the models that follow are taken up
                reason = str(error) if isinstance(error, BistilError | OSError) else repr(error)
                LOG.error("not reloaded", extra={"facts": {"model": name, "reason": reason}})


def application(service: Service, token: str | None, on_start: Callable[[], None] = lambda: None) -> FastAPI:
    """The ASGI application; with a token all but the page, its files and the probes ask for it."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        on_start()
        yield
        service.ready = False

    app = FastAPI(
        title="bistil",
        version=bistil.__version__,
        description="Task models, distilled for a few languages.",
        docs_url=None,  # they would load scripts from another host
        redoc_url=None,
        openapi_url=None,  # it would ask for no token
        lifespan=lifespan,
    )
    app.add_middleware(WholeBodies, limits=service.limits)
    app.add_middleware(Noted, models=service.models, metrics=service.metrics)  # around the other
    bearer = HTTPBearer(auto_error=False)

    def allowed(given: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]) -> None:
        if token is None or (
            given is not None and hmac.compare_digest(given.credentials.encode(), token.encode())
        ):
            return
        wrong = "That is not the server's token." if given else "Give the server's token: Authorization: Bearer …"
        raise HTTPException(401, wrong, {"WWW-Authenticate": "Bearer"})

    protected: dict[str, Any] = {"dependencies": [Depends(allowed)]} if token is not None else {}
    _add_states(app, service, protected)
    for served in service.models.values():
        _add_model(app, service, served, protected)
    _add_problems(app, service)
    _add_page(app)
    return app


def _add_page(app: FastAPI) -> None:
    """Each file at an address of its own, so that no other address is the page's."""
    files = {path.name: path for path in _PAGE.glob("*.*")}

    def at(file: Path) -> Callable[[], FileResponse]:
        media_type = "text/javascript" if file.suffix == ".js" else None  # some systems know .js otherwise
        return lambda: FileResponse(file, media_type=media_type, headers={"Cache-Control": "no-cache"})

    for address, file in {**files, "backend.js": _BACKEND, "": _PAGE / "index.html"}.items():
        app.api_route(f"/{address}", methods=["GET", "HEAD"], include_in_schema=False)(at(file))


def _add_states(app: FastAPI, service: Service, protected: dict[str, Any]) -> None:
    @app.head("/health", include_in_schema=False)
    @app.get("/health", summary="Whether the process is there", tags=["server"])
    async def health() -> State:
        return State(status="ok")

    @app.head("/ready", include_in_schema=False)
    @app.get("/ready", summary="Whether requests are taken", tags=["server"], responses={503: {"model": Problem}})
    async def ready() -> State:
        if not service.ready:
            raise HTTPException(503, "The server stops.")
        return State(status="ok")

    refused: dict[int | str, dict[str, Any]] = {401: _PROBLEMS[401]} if protected else {}

    @app.get("/models", summary="The models", tags=["models"], responses=refused, **protected)
    async def models() -> Models:
        return Models.model_validate({"models": [served.facts for served in service.models.values()]})

    @app.get("/openapi.json", include_in_schema=False, **protected)
    async def described() -> dict[str, Any]:
        return app.openapi()

    @app.get("/metrics", include_in_schema=False, **protected)
    async def metrics() -> Response:
        return Response(generate_latest(service.metrics.registry), media_type=CONTENT_TYPE_LATEST)


def _add_model(app: FastAPI, service: Service, served: Served, protected: dict[str, Any]) -> None:
    name, body_type, answer_type = served.name, request_type(served, service.limits), result_type(served)
    answers = TypeAdapter(answer_type)

    async def predict(body: Any, request: Request) -> Response:
        request.state.texts = len(body.inputs)
        results = await service.results(name, body.inputs)
        milliseconds = round(1000 * (time.perf_counter() - request.state.came), 2)
        found = answer_type.model_construct(model=name, milliseconds=milliseconds, results=results)
        return Response(answers.dump_json(found), media_type="application/json")

    predict.__annotations__["body"] = body_type
    responses = {status: problem for status, problem in _PROBLEMS.items() if status != 401 or protected}
    app.post(
        f"/predict/{name}",
        summary=f"{served.model.learned.title.capitalize()} with {name}",
        tags=["models"],
        response_model=answer_type,
        responses=responses,
        operation_id=f"predict_{name}",
        **protected,
    )(predict)


def _add_problems(app: FastAPI, service: Service) -> None:
    def problem(status: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
        # a text may hold half of a character, which no answer can
        return JSONResponse({"detail": detail.encode("utf-8", "backslashreplace").decode()}, status, headers)

    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> JSONResponse:
        if error.__cause__ is not None:  # of a body that could not be parsed, without the reason
            return problem(error.status_code, f"The body is not JSON{_why(error.__cause__)}.")
        return problem(error.status_code, str(error.detail), dict(error.headers or {}))

    @app.exception_handler(RequestValidationError)
    async def wrong(request: Request, error: RequestValidationError) -> JSONResponse:
        if isinstance(error.body, bytes):  # not parsed, as its type is not JSON's
            given = request.headers.get("Content-Type", "")[:100] or "no Content-Type"
            return problem(422, f"The body came with {given}. Send the header Content-Type: application/json.")
        first = max(error.errors(), key=lambda one: len(one["loc"]))  # of alternatives that which fits best
        place = ".".join(
            str(part) for part in first["loc"][1:] if isinstance(part, int) or _COLUMN.fullmatch(part)
        )
        if first["type"] == "json_invalid":
            return problem(400, f"The body is not JSON: {first['ctx']['error']} at character {place}.")
        return problem(422, f"{place or 'The body'}: {first['msg']}.")

    @app.exception_handler(BistilError)
    async def unreadable(_: Request, error: BistilError) -> JSONResponse:
        return problem(422, str(error))

    @app.exception_handler(Full)
    async def full(*_: Any) -> JSONResponse:
        return problem(503, "Too many texts wait already. Try again in a moment.", {"Retry-After": "1"})

    @app.exception_handler(TimeoutError)
    async def late(*_: Any) -> JSONResponse:
        seconds = f"{service.limits.seconds:g}"
        return problem(
            503,
            f"There was no answer within {seconds} seconds. Try again, with fewer texts.",
            {"Retry-After": "5"},
        )


def _why(unread: BaseException) -> str:
    """The reason for which a body could not be parsed, as far as it is known."""
    match unread:
        case UnicodeDecodeError():
            return f": byte {unread.start} is not {unread.encoding}"
        case RecursionError():
            return " that can be read: it is nested too deeply"
        case ValueError():
            return " that can be read: a number has too many digits"
    return " that can be read"
