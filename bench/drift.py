"""False alarms and power of the drift decision on simulated scores of one category.

    make bench-drift        # about 3 minutes; writes bench/results/drift.json, prints a table

Scores are normal, gamma (skewed) or Student's t with 5 degrees of freedom (heavy tails), each with
standard deviation 1. Every window carries a random harmless offset of 0.25 standard deviations.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.record import Claim, write_result
from normscape.drift import decide
from normscape.params import MonitorParams

Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]

LAWS: dict[str, Draw] = {
    "normal": lambda rng, size: rng.normal(size=size),
    "gamma": lambda rng, size: rng.gamma(4.0, size=size) / 2.0,
    "t5": lambda rng, size: rng.standard_t(5, size=size) / np.sqrt(5 / 3),
}
SIZES = ((12, 8), (12, 20), (50, 8), (50, 20), (50, 60), (300, 60))
DEFECTS = 0.15
OFFSET = 0.25
RUNS = 400


def main() -> None:
    """Simulate, write the result and print the table of docs/monitoring.md."""
    raw: dict[str, dict[str, float]] = {}
    print("| reference / window | false alarms | with 15 % defects | +2 sd | +3 sd | -2 sd |")
    print("|---|---|---|---|---|---|")
    for sizes in SIZES:
        quiet = [rate(law, sizes, 0.0, 0.0) for law in LAWS.values()]
        spoiled = [rate(law, sizes, 0.0, DEFECTS) for law in LAWS.values()]
        power = {f"{s:+g} sd": rate(LAWS["normal"], sizes, s, 0.0) for s in (2.0, 3.0, -2.0)}
        row = {"false alarms": float(np.mean(quiet)), "with defects": float(np.mean(spoiled))}
        raw[f"{sizes[0]} / {sizes[1]}"] = row | power
        cells = [f"{100 * value:.1f} %" for value in (*row.values(), *power.values())]
        print(f"| {sizes[0]} / {sizes[1]} | {' | '.join(cells)} |")
    runs = RUNS * len(LAWS) * len(SIZES)
    pooled = float(np.mean([row["false alarms"] for row in raw.values()]))
    claims = [
        Claim(
            "drift.false_alarms", pooled, MonitorParams().false_discovery_rate, "of windows",
            "at most", f"{runs} quiet windows of one category, three score distributions",
        ),
        Claim(
            "drift.power_3sd", raw["50 / 20"]["+3 sd"], 0.95, "of windows", "at least",
            f"{RUNS} windows of 20 images moved by 3 sd, reference of 50",
        ),
    ]  # fmt: skip
    print(write_result("drift", {"windows": raw, "runs": RUNS}, claims))


def rate(law: Draw, sizes: tuple[int, int], shift: float, defects: float) -> float:
    """The share of simulated windows that are called drift."""
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(RUNS):
        window = law(rng, sizes[1]) + shift + OFFSET * rng.normal()
        window[rng.random(sizes[1]) < defects] += 4.0
        verdicts = decide(_frame(law(rng, sizes[0])), _frame(window), MonitorParams())
        found += bool(verdicts.drifted)
    return found / RUNS


def _frame(scores: NDArray[np.float64]) -> pd.DataFrame:
    looks = dict.fromkeys(("mean_intensity", "std_intensity", "sharpness"), 0.5)
    return pd.DataFrame({"category": "part", "score": scores, **looks})


if __name__ == "__main__":
    main()
