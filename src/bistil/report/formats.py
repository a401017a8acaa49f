"""How numbers are written, the same in the page and in the Markdown."""

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

import yaml

NOTHING = "–"


def count(number: float | None) -> str:
    """Whole number with thousands separators: ``250,002``."""
    return NOTHING if number is None else f"{number:,.0f}"


def millions(number: float | None) -> str:
    """Parameters or tokens: ``21.2 M``; below 100,000 the full number."""
    if number is None or number < 1e5:
        return count(number)
    return f"{number / 1e6:,.1f} M" if number < 1e9 else f"{number / 1e9:,.2f} B"


def size(octets: float | None) -> str:
    """Bytes in decimal units: ``84.9 MB``."""
    if octets is None:
        return NOTHING
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if octets >= scale:
            return f"{significant(octets / scale)} {unit}"
    return f"{octets:.0f} B"


def peak_memory(cost: Mapping[str, Any]) -> str:
    """The peak memory of a model: ``612 MB``; where there is a null, it could not be measured."""
    octets = cost.get("memory_bytes", 0)
    return "not measured" if octets is None else size(octets or None)


def duration(seconds: float | None) -> str:
    """Seconds as ``4.2 s``, ``3 min 20 s``, ``1 h 05 min`` or, from two days on, ``2.4 days``."""
    if seconds is None:
        return NOTHING
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 2 * 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{significant(whole / 86_400)} days"


def significant(number: float | None) -> str:
    """Three significant digits without an exponent: ``0.843``, ``9.31``, ``142``."""
    if number is None:
        return NOTHING
    digits = 0 if abs(number) >= 99.95 else 1 if abs(number) >= 9.995 else 2 if abs(number) >= 0.9995 else 3
    return f"{number:,.{digits}f}"


def share(part: float | None, digits: int = 2) -> str:
    """A share between 0 and 1 in per cent: ``0.9987`` is ``99.87 %``."""
    return NOTHING if part is None else f"{100 * part:.{digits}f} %"


def decimal(number: float) -> str:
    """One decimal, with a true minus: ``77.6``, ``−12.3``."""
    text = f"{abs(number):.1f}"
    return f"−{text}" if number < 0 and text != "0.0" else text


def signed(points: float | None) -> str:
    """A difference with its sign (a true minus): ``−0.8``, ``+0.4``, ``0.0``."""
    if points is None:
        return NOTHING
    text = decimal(points)
    return f"+{text}" if points > 0 and text != "0.0" else text


def metric(name: str) -> str:
    """The name of a score as people write it: ``F1``, ``LAS``, ``accuracy at 1``."""
    names = {
        "f1": "F1",
        "las": "LAS",
        "uas": "UAS",
        "map": "mAP",
        "mean_accuracy": "accuracy at 1",
        "ndcg@10": "nDCG@10",
        "spearman": "Spearman's ρ",
    }
    return names.get(name, name.replace("_", " "))


def mean(values: Sequence[float] | None) -> float | None:
    """Mean over seeds; nothing measured has no mean."""
    return fmean(values) if values else None


def kept(score: float | None, of: float | None) -> float | None:
    """Per cent of another score; None where there is none, as of a correlation below 0."""
    return None if score is None or not of or of < 0 or score < 0 else 100 * score / of


def score(values: Sequence[float] | None) -> str:
    """Mean over seeds and, of several, the sample standard deviation: ``77.6 ± 0.4``."""
    if not values:
        return NOTHING
    return decimal(fmean(values)) + (f" ± {stdev(values):.1f}" if len(values) > 1 else "")


def joined(names: Sequence[str], word: str = "and") -> str:
    """In a sentence: ``English, French and Turkish``; empty of none."""
    *most, last = names or [""]
    return f"{', '.join(most)} {word} {last}" if most else last


def counted(number: int, noun: str) -> str:
    """``1 example``, ``1,204 examples``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def engine(name: str) -> str:
    """An engine as people write it: ``torch`` is PyTorch, ``onnx`` ONNX."""
    return {"torch": "PyTorch", "onnx": "ONNX"}.get(name, name)


def yaml_text(recipe: Mapping[str, Any] | None) -> str:
    """The recipe as it would be written by hand; nothing for no recipe."""
    return yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True, width=88) if recipe else ""
