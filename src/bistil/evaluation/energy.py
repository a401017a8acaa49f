"""The energy that a machine uses, where its processor counts it."""

from pathlib import Path

_RAPL = Path("/sys/class/powercap")


class Energy:
    """Joules used by all processors (RAPL packages) since this was made, by whatever ran meanwhile."""

    def __init__(self, root: Path = _RAPL) -> None:
        self._counters = [zone for zone in sorted(root.glob("intel-rapl:*")) if zone.name.count(":") == 1]
        self._start = self._read()

    def joules(self) -> float | None:
        """None where there is no counter that may be read."""
        now = self._read()
        if self._start is None or now is None:
            return None
        used = 0
        for zone, before, after in zip(self._counters, self._start, now, strict=True):
            # the counter begins again at its end
            used += (after - before) % (int((zone / "max_energy_range_uj").read_text(encoding="utf-8")) + 1)
        return used / 1e6

    def _read(self) -> list[int] | None:
        try:
            found = [int((zone / "energy_uj").read_text(encoding="utf-8")) for zone in self._counters]
        except OSError:  # only root may read them on many machines
            return None
        return found or None
