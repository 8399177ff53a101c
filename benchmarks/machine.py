"""What it is measured on."""

from __future__ import annotations

import os
import platform
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path


def report() -> Iterator[str]:
    yield f"{platform.platform()}, {cores()} CPUs, {processor()}"
    built = "free-threaded" if sysconfig.get_config_var("Py_GIL_DISABLED") else "ordinary"
    gil = "with" if has_gil() else "without"
    yield f"{platform.python_implementation()} {platform.python_version()}, {built} build, {gil} the GIL"
    if not optimised():
        yield "Built without optimisation, which slows the pool more than smqexec: quote no ratios of it."


def optimised() -> bool:
    """Whether this Python was compiled with profile-guided optimisation, as distributed builds are.

    Without it the pool takes 1.5 to 2 times as long.
    """
    config = sysconfig.get_config_var
    flags = f"{config('CONFIG_ARGS')} {config('PY_CORE_CFLAGS')}"
    if "--enable-optimizations" in flags or "-fprofile-use" in flags:
        return True
    # Debian optimises in a step of its own, and removes the flags from what it installs.  Windows has none.
    return not config("PGO_PROF_USE_FLAG")


def cores() -> int:
    """The CPUs that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on every system
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def has_gil() -> bool:
    enabled: bool = getattr(sys, "_is_gil_enabled", lambda: True)()
    return enabled
