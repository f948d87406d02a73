"""False alarms in a year and power of the drift decision, in a simulated plant of 160 categories.

    make bench-drift        # writes bench/results/drift.json

Beside it Kolmogorov-Smirnov on each category and day: as Evidently does by default (p at most 0.05
up to 1,000 reference rows), with Bonferroni, and tuned to as many false alarms as the charts raise.
An alarm is what a person is told: days of the same alarm count once.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special, stats

from bench.plant import CATEGORIES, Change, Plant, simulate
from bench.record import Claim, write_result
from normscape.drift import History, Reference
from normscape.drift.replay import replay
from normscape.sections.production import MonitorParams

OFFSETS = (0.0, 0.1, 0.2)
LEARNED = 120
"""Days before a change."""

WITHIN = (1, 3, 7, 14)
_EVIDENTLY = 0.05
_QUIET_DAYS = 3

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Row:
    """A row of the table of powers."""

    name: str
    plant: Plant
    rounds: int = 4


def _row(name: str, kind: str, size: float, **plant: Any) -> Row:
    rounds, day = plant.pop("rounds", 4), plant.pop("day", LEARNED)
    usual = {"references": (200,), "traffic": 200, "offset": 0.1}
    return Row(name, Plant(0, **(usual | plant), change=Change(day, kind, size)), rounds)


_SMALL = {"references": (20,), "traffic": 20}

ROWS = (
    *(_row(f"+0.5 sd, offset {tau:g}", "mean", 0.5, offset=tau, rounds=12) for tau in OFFSETS),
    _row("-0.5 sd", "mean", -0.5, rounds=12),
    _row("+0.5 sd, reference of 500", "mean", 0.5, references=(500,)),
    _row("+0.5 sd, reference of 20", "mean", 0.5, references=(20,)),
    _row("+0.5 sd, 20 images a day", "mean", 0.5, traffic=20),
    _row("+0.25 sd", "mean", 0.25),
    _row("+1 sd, offset 0.2", "mean", 1.0, offset=0.2),
    _row("+1 sd, offset 0.2, reference and day of 20", "mean", 1.0, offset=0.2, **_SMALL),
    _row("+1 sd on the third day of a model", "mean", 1.0, day=2),
    _row("scatter x 1.5", "scale", 1.5),
    _row("scatter x 1.5, reference of 20", "scale", 1.5, references=(20,)),
    _row("defects from 1 to 5 %", "tail", 0.05),
    _row("defects from 1 to 10 %", "tail", 0.1),
    _row("defects from 1 to 10 %, reference and day of 20", "tail", 0.1, **_SMALL),
)


def main() -> None:
    """Simulate, write the result."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m bench.drift")
    parser.add_argument("--years", type=int, default=6, help="plant-years for each offset (6)")
    parser.add_argument("--rounds", type=float, default=1.0, help="factor on the rounds of a row")
    options = parser.parse_args()
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        raw: dict[str, Any] = {"quiet": {}, "sizes": {}, "power": {}, "years": options.years}
        for offset in OFFSETS:
            plants = [Plant(1000 + seed, offset=offset) for seed in range(options.years)]
            raw["quiet"][f"{offset:g}"] = _quiet(list(pool.map(_year, plants)))
            print(f"offset {offset:g}: {raw['quiet'][f'{offset:g}']}", flush=True)
        sizes = [(images, traffic) for images in (20, 100, 500) for traffic in (20, 200)]
        years = pool.map(_year, [Plant(7, (images,), each, 0.1) for images, each in sizes])
        for (images, traffic), year in zip(sizes, years, strict=True):
            raw["sizes"][f"{images} / {traffic}"] = year["alarms"]
        for row in ROWS:
            rounds = max(1, round(row.rounds * options.rounds))
            plants = [row.plant.with_seed(2000 + seed) for seed in range(rounds)]
            limits = [raw["quiet"][f"{row.plant.offset:g}"]["tuned_ks_limit"]] * rounds
            raw["power"][row.name] = _power(list(pool.map(_found, plants, limits)))
            print(row.name, raw["power"][row.name], flush=True)
    print(write_result("drift", raw, _claims(raw)))


def _claims(raw: dict[str, Any]) -> list[Claim]:
    claims = []
    for offset, quiet in raw["quiet"].items():
        claims.append(
            Claim(
                f"drift.false_alarms_offset_{offset}", quiet["high"], 12, "alarms a plant-year",
                "at most",
                f"upper 95 % limit; {quiet['mean']:.1f} [{quiet['low']:.1f}, {quiet['high']:.1f}] "
                f"in {raw['years']} plant-years of 160 categories, references of 20 to 500, 20 to "
                "1,000 images a day",
            )
        )  # fmt: skip
    for offset in OFFSETS:
        found = raw["power"][f"+0.5 sd, offset {offset:g}"]
        claims.append(
            Claim(
                f"drift.power_half_sd_offset_{offset:g}", found["within"]["3"], 0.95, "of changes",
                "at least",
                f"0.5 sd found within 3 days, 200 images a day, reference of 200, "
                f"{found['changes']} changes after {LEARNED} days; an oracle that knows level and "
                f"variance finds {_oracle(offset):.2f}",
            )
        )  # fmt: skip
    return claims


def _oracle(offset: float) -> float:
    """Chance that the mean of three days exceeds the chart's limit, were nothing to be learned."""
    from bench.plant import _BLOCK, _RESEMBLANCE
    from normscape.drift.budget import limits

    block = _RESEMBLANCE * _BLOCK / 200
    error = np.sqrt((offset**2 + block + (1 - _RESEMBLANCE) / 200) / 3)
    return float(stats.norm.sf(limits(12, CATEGORIES).location - 0.5 / error))


def _judge(plant: Plant) -> tuple[dict[str, Flags], NDArray[np.float64]]:
    """Alarms of each chart and Kolmogorov-Smirnov p-values, `(C, T)`."""
    frame, days = simulate(plant)
    reference, params = Reference.of(frame), MonitorParams()
    known = [np.sort(rows["score"].to_numpy()) for _, rows in frame.groupby("category")]
    history, p_values = History(reference, params.min_images), []
    for number, rows in enumerate(days):
        day = (pd.Timestamp("2026-01-01") + pd.Timedelta(days=number)).date().isoformat()
        history.add(day, rows)
        scores = [np.sort(part.to_numpy()) for _, part in rows.groupby("category")["score"]]
        p_values.append([_ks(a, b) for a, b in zip(known, scores, strict=True)])
    found = replay(reference, history, params)
    charts = {
        "location": found.body.alarm, "spread": found.spread.alarm, "tail": found.tail.alarm,
    }  # fmt: skip
    return charts, np.array(p_values).T


def _ks(reference: NDArray[np.float64], window: NDArray[np.float64]) -> float:
    both = np.concatenate([reference, window])
    gap = np.searchsorted(reference, both, side="right") / reference.size
    gap -= np.searchsorted(window, both, side="right") / window.size
    size = np.sqrt(reference.size * window.size / (reference.size + window.size))
    return float(special.kolmogorov(size * np.abs(gap).max()))


def _year(plant: Plant) -> dict[str, Any]:
    charts, p_values = _judge(plant)
    return {"alarms": {name: _begun(flags) for name, flags in charts.items()}, "ks": p_values}


def _quiet(years: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Alarms a plant-year of the charts and of Kolmogorov-Smirnov at several limits."""
    totals = [sum(year["alarms"].values()) for year in years]
    low, high = _poisson(sum(totals), len(totals))

    def rate(limit: float) -> float:
        return float(np.mean([_begun(year["ks"] <= limit) for year in years]))

    limits = np.logspace(-60, -1, 237)
    wanted = float(np.mean(totals))
    allowed = [limit for limit in limits if rate(limit) <= max(wanted, 1.0)]
    return {
        "alarms": [year["alarms"] for year in years],
        "mean": wanted, "low": low, "high": high,
        "evidently": rate(_EVIDENTLY),
        "bonferroni": rate(_EVIDENTLY / CATEGORIES),
        "tuned_ks_limit": float(max(allowed, default=0.0)),
    }  # fmt: skip


def _found(plant: Plant, ks_limit: float) -> dict[str, Any]:
    """For each changed category the days until it was found, by the charts and by KS."""
    change = plant.change
    if change is None:
        raise ValueError("nothing changes in this plant")
    days = change.day + max(WITHIN)
    shortened = Plant(
        plant.seed, plant.references, plant.traffic, plant.offset, days, plant.defects, change
    )
    charts, p_values = _judge(shortened)
    alarm = charts["tail"] if change.kind == "tail" else charts["location"] | charts["spread"]
    touched = slice(None, None, change.every)
    quiet = np.ones(CATEGORIES, bool)
    quiet[touched] = False
    return {
        "charts": _delays(alarm[touched, change.day :]),
        "ks": _delays(p_values[touched, change.day :] <= ks_limit),
        "others": _begun(alarm[quiet]),
    }


def _power(rounds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, key in (("within", "charts"), ("ks_within", "ks")):
        delays = np.concatenate([each[key] for each in rounds])
        found[name] = {str(days): float(np.mean(delays < days)) for days in WITHIN}
        found["changes"] = len(delays)
        if key == "charts":
            found["median_days"] = float(np.median(delays) + 1)
    return found


def _delays(alarm: Flags) -> list[float]:
    return [float(np.argmax(row)) if row.any() else np.inf for row in alarm]


def _begun(alarm: Flags) -> int:
    """Alarms that begin; one that returns within three days is the same."""
    recent = np.zeros_like(alarm)
    for back in range(1, _QUIET_DAYS + 1):
        recent[:, back:] |= alarm[:, :-back]
    return int((alarm & ~recent).sum())


def _poisson(count: int, years: int) -> tuple[float, float]:
    low = stats.chi2.ppf(0.025, 2 * count) / 2 if count else 0.0
    return float(low / years), float(stats.chi2.ppf(0.975, 2 * count + 2) / 2 / years)


if __name__ == "__main__":
    main()
