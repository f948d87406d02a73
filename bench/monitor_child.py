"""One monitor run in a process of its own, so that its time and its peak memory can be read.

python -m bench.monitor_child PARAMS     # prints what it took and what was found, as JSON
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from pathlib import Path

from bench.memory import peak_mib
from normscape.params import load_params


def age() -> float:
    """Seconds since this process was started."""
    ticks = int(Path("/proc/self/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    from monitoring.watch import watch

    run = watch(load_params(Path(sys.argv[1])))
    found = {
        "seconds": round(age(), 1),
        "cpu_seconds": round(time.process_time(), 1),
        "peak_gib": round(peak_mib() / 2**10, 2),
        "verdicts": Counter(str(each.verdict) for each in run.drift.categories),
        "unknown": len(run.unknown.unknown),
        "report_mib": round((run.folder / "report.html").stat().st_size / 2**20, 2),
    }
    print(json.dumps(found))
