"""`bistil serve`: models behind HTTP, and a page to try them."""

import os
from typing import Annotated

import typer

from bistil.errors import naming_extras


def serve(
    models: Annotated[
        list[str], typer.Argument(metavar="MODEL...", help="Task models, OUT/tasks/NAME of a run; or NAME=FOLDER.")
    ],
    host: Annotated[
        str, typer.Option(help="Address to listen at; 0.0.0.0 for all of this machine's.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8000,
    token: Annotated[
        str | None, typer.Option(envvar="BISTIL_TOKEN", help="What clients must send as a bearer token.")
    ] = None,
    max_body: Annotated[int, typer.Option(min=1, help="Bytes of a request.")] = 1_000_000,
    max_texts: Annotated[int, typer.Option(min=1, help="Texts of a request.")] = 256,
    max_characters: Annotated[int, typer.Option(min=1, help="Characters of a text.")] = 20_000,
    max_waiting: Annotated[int, typer.Option(min=1, help="Texts that may wait; beyond them: 503.")] = 1_024,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds until a request is answered; then: 503.")
    ] = 30.0,
) -> None:
    """Serve task models over HTTP, with a page to try them.

    The page is at /, the API's description at /openapi.json, /health and /ready are for probes, /metrics for
    Prometheus. SIGTERM answers what has come and stops; SIGHUP takes up models that were replaced on disk.

    \b
    bistil serve runs/turkish/tasks/pos
    bistil serve student=runs/turkish/tasks/pos teacher=runs/turkish/teachers/pos
    curl localhost:8000/predict/pos -H "Content-Type: application/json" -d '{"inputs": ["Evdeki kedi uyudu."]}'
    """
    with naming_extras("bistil serve"):
        from bistil.serve.limits import Limits
        from bistil.serve.server import serve as run

        if token is None:  # also where the variable is set and empty, which must not open the server to all
            token = os.environ.get("BISTIL_TOKEN")
        limits = Limits(max_body, max_texts, max_characters, max_waiting, timeout)
        run(models, host=host, port=port, token=token, limits=limits)
