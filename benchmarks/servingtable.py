"""The table of a server under load."""

from collections.abc import Mapping
from typing import Any

from bistil.report.formats import significant

_TITLES = {"saturation": "saturation", "50%": "at 50 %", "90%": "at 90 %"}


def serving(result: Mapping[str, Any]) -> str:
    """Requests a second and how long they take, of `bistil serve` and of the alternative."""
    speed = result["speed"]
    rows = [
        f"Requests of 1 to 16 texts from clients in a second process on loopback; {_machine(speed)}, "
        "`python -m benchmarks.serving TEXTS MODEL`:",
        "",
        "| | requests/s | texts/s | p50 | p99 | failed |",
        "|---|---|---|---|---|---|",
        _row("`bistil serve`, saturation", speed["saturation"]),
        *(_row(f"`bistil serve`, {_TITLES[share]}", own) for share, own in speed["at"].items()),
        _row("FastAPI and `transformers.pipeline`, saturation", speed["pipeline"]["saturation"]),
        _row("FastAPI and `transformers.pipeline`, at 50 %", speed["pipeline"]["at 50%"]),
        "",
        f"The runtime alone labels {significant(speed['runtime_alone_texts_a_second'])} of these texts a second "
        f"in batches: the server reaches {100 * speed['share_of_runtime']:.0f} % of that.",
    ]
    if long := result.get("long"):
        first, last = long["memory_mb"]
        rows += [
            "",
            f"{long['minutes']} minutes of requests of 1 to 16 inputs to {long['models']} models, "
            f"{significant(long['requests_a_second'])} a second; {_machine(long)}, `--minutes {long['minutes']}`: "
            f"{long['failed']:g} failed, p50 {significant(long['p50_ms'])} ms, "
            f"p99 {significant(long['p99_ms'])} ms; the server's memory was {first:.0f} MB in the first "
            f"five minutes and {last:.0f} MB in the last.",
        ]
    return "\n".join(rows)


def _machine(facts: Mapping[str, Any]) -> str:
    machine = facts["environment"]
    return f"{machine['date']}, {machine['cores']} cores of an {machine['processor']}"


def _row(name: str, facts: Mapping[str, float]) -> str:
    speeds = (significant(facts[key]) for key in ("requests_a_second", "texts_a_second"))
    times = (f"{significant(facts[key])} ms" for key in ("p50_ms", "p99_ms"))
    return f"| {name} | {' | '.join([*speeds, *times])} | {facts['failed']:g} |"
