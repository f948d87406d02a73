"""One form for every measurement: what was measured, on what, and which claims it supports."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from normscape.files import write_json

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"

_PACKAGES = ("normscape", "torch", "timm", "openvino", "numpy", "pillow", "scikit-learn")


@dataclass(frozen=True)
class Claim:
    """A statement that a measurement supports or refutes.

    Attributes:
        id: Its name, `<subject>.<what>`.
        value: What was measured.
        target: What it is compared with.
        unit: Of both.
        bound: Whether the value must be at most, at least or exactly the target.
        how: How it was measured, in one sentence.
    """

    id: str
    value: float
    target: float
    unit: str
    bound: Literal["at most", "at least", "exactly"]
    how: str

    @property
    def holds(self) -> bool:
        """Whether the measurement supports the claim."""
        if self.bound == "at most":
            return self.value <= self.target
        if self.bound == "at least":
            return self.value >= self.target
        return self.value == self.target


def write_result(name: str, raw: dict[str, Any], claims: list[Claim]) -> Path:
    """Write `bench/results/<name>.json` as a whole or not at all, and return its path.

    Args:
        name: Of the benchmark.
        raw: The figures as measured.
        claims: What they say.
    """
    path = RESULTS / f"{name}.json"
    content = {
        "commit": commit(),
        "hardware": hardware(),
        "versions": {"python": platform.python_version()} | {p: version(p) for p in _PACKAGES},
        "raw": raw,
        "claims": [asdict(claim) | {"holds": claim.holds} for claim in claims],
    }
    write_json(path, content)
    return path


def earlier(name: str) -> tuple[dict[str, Any], list[Claim]]:
    """The figures and claims of a benchmark's last run; empty where there was none."""
    path = RESULTS / f"{name}.json"
    if not path.exists():
        return {}, []
    content = json.loads(path.read_text(encoding="utf-8"))
    claims = [
        Claim(**{key: value for key, value in claim.items() if key != "holds"})
        for claim in content["claims"]
    ]
    return content["raw"], claims


def commit() -> dict[str, Any]:
    """The checkout's commit, and whether the library differed from it."""
    head = _git("rev-parse", "HEAD")
    changed = _git("status", "--porcelain", "--", "src", "bench/*.py")
    return {"id": head, "dirty": bool(changed)}


def hardware() -> dict[str, Any]:
    """Processor, usable cores, memory in GiB, GPU if any, and how busy the machine is."""
    import torch

    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(pages / 2**30, 1),
        "load_average": round(os.getloadavg()[1], 1),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _git(*arguments: str) -> str:
    answer = subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return answer.stdout.strip()
