"""The table of a server under load."""

from collections.abc import Mapping
from typing import Any

from bistil.report.formats import significant

_TITLES = {"saturation": "saturation", "50%": "at 50 %", "90%": "at 90 %"}


def serving(result: Mapping[str, Any]) -> str:
    """Requests a second and how long they take, of `bistil serve` and of the alternative."""
    machine = result["environment"]
    rows = [
        "Requests of 1 to 16 texts from clients in a second process on loopback; "
        f"{machine['date']}, {machine['cores']} cores of an {machine['processor']}, "
        "`python -m benchmarks.serving`:",
        "",
        "| | requests/s | texts/s | p50 | p99 | failed |",
        "|---|---|---|---|---|---|",
        _row("`bistil serve`, saturation", result["saturation"]),
        *(_row(f"`bistil serve`, {_TITLES[share]}", own) for share, own in result["at"].items()),
        _row("FastAPI and `transformers.pipeline`, saturation", result["pipeline"]["saturation"]),
        _row("FastAPI and `transformers.pipeline`, at 50 %", result["pipeline"]["at 50%"]),
        "",
        f"The runtime alone labels {significant(result['runtime_alone_texts_a_second'])} of these texts a second "
        f"in batches: the server reaches {100 * result['share_of_runtime']:.0f} % of that.",
    ]
    if long := result["long"]:
        first, last = long["memory_mb"]
        rows.append(
            f"After {long['minutes']:g} minutes at {significant(long['requests_a_second'])} requests/s, of which "
            f"{long['failed']:g} failed, the server's memory was {last:.0f} MB, at the beginning {first:.0f} MB."
        )
    return "\n".join(rows)


def _row(name: str, facts: Mapping[str, float]) -> str:
    speeds = (significant(facts[key]) for key in ("requests_a_second", "texts_a_second"))
    times = (f"{significant(facts[key])} ms" for key in ("p50_ms", "p99_ms"))
    return f"| {name} | {' | '.join([*speeds, *times])} | {facts['failed']:g} |"
