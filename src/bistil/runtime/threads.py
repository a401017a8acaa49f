"""How many threads a model may run on here: as many as this process has cores, by its container's limit."""

import math
import os
from pathlib import Path

_LIMITS = ("/sys/fs/cgroup/cpu.max", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us")  # version 2 and 1


def available() -> int:
    """At least 1. onnxruntime counts the cores of the host, whatever a container may use of them.

    ``OMP_NUM_THREADS`` decides where it is set, as for torch. Example: 2 with ``docker run --cpus 1.5``.
    """
    if (asked := os.environ.get("OMP_NUM_THREADS", "")).isdecimal() and int(asked) > 0:
        return int(asked)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, math.ceil(limit()) if math.isfinite(limit()) else cores))


def limit(root: Path = Path("/")) -> float:
    """The cores that the container's control group allows, infinite where it sets no limit: 1.5."""
    two, one = (root / path.lstrip("/") for path in _LIMITS)
    try:
        quota, period = two.read_text(encoding="utf-8").split()
        return math.inf if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        pass
    try:
        parts = (one, one.with_name("cpu.cfs_period_us"))
        quota, period = (path.read_text(encoding="utf-8") for path in parts)
        return math.inf if int(quota) <= 0 else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return math.inf
