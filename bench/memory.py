"""How much memory a process has had."""

from __future__ import annotations

from pathlib import Path


def peak_mib() -> float:
    """The most that this process had resident, in MiB."""
    # Not getrusage: its peak begins with that of the process that started this one.
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) / 2**10
