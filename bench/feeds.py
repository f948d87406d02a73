"""The demo's feed drawn twenty times: are the verdicts right on the right days, and none elsewhere?

    make bench-feeds        # about 15 minutes on 2 cores; writes bench/results/feeds.json

A clone of the last commit trains once on the demo, as `make run` does. Each feed is scored and
watched day by day until the new product arrives: three quiet days, the day `solar_poly` drifts, the
day `grass` arrives.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any

from bench.pipeline import clone, run
from bench.record import ROOT, Claim, write_result
from monitoring.watch import MonitorRun, watch
from normscape.data.demo import ARRIVAL_DAY, DRIFT_DAY, FEED_DAYS, build_demo
from normscape.params import Params, load_params
from normscape.scoring.run import score_place

DRIFTING, ARRIVING = "solar_poly", "grass"
_DAYS = FEED_DAYS[: FEED_DAYS.index(ARRIVAL_DAY) + 1]
_FORGOTTEN = ("scores", "monitor", "alerts", "inbox", "overlays")


def main() -> None:
    """Train, draw, score, watch, write the result."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m bench.feeds")
    parser.add_argument("--seeds", type=int, default=20, help="feeds, the demo's own first (20)")
    seeds = range(parser.parse_args().seeds)
    (ROOT / ".normscape").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="feeds-", dir=ROOT / ".normscape") as folder:
        params = _trained(Path(folder) / "checkout")
        feeds = {str(seed): _watched(params, seed) for seed in seeds}
    right = sum(feed["right"] for feed in feeds.values())
    false = sum(feed["false"] for feed in feeds.values())
    missed = sum(len(feed["missed"]) for feed in feeds.values())
    claims = [
        Claim(
            "feeds.right", right / len(feeds), 1.0, "of feeds", "exactly",
            f"{DRIFTING} drifts on {DRIFT_DAY}, {ARRIVING} arrives on {ARRIVAL_DAY}, nothing else "
            f"in {len(feeds)} feeds; {false} false findings, {missed} missed",
        )
    ]  # fmt: skip
    print(write_result("feeds", {"feeds": feeds}, claims))


def _trained(checkout: Path) -> Params:
    clone(checkout)
    run(checkout, "normscape", "data", "demo")
    run(checkout, "dvc", "commit", "--quiet", "--force", "data.dvc")
    run(checkout, "python", "-m", "flows.train", "--allow-dirty", "--reason", "the demo's feeds")
    return load_params(checkout / "params.yaml")


def _watched(params: Params, seed: int) -> dict[str, Any]:
    """What was found in one feed, by day, and how far that is right."""
    for name in _FORGOTTEN:
        shutil.rmtree(params.state / name, ignore_errors=True)
    with tempfile.TemporaryDirectory() as scrap:
        build_demo(Path(scrap) / "data", params.root / "feed", feed_seed=seed)
    found: dict[str, list[str]] = {}
    for day in _DAYS:
        score_place(params.root / "feed" / day, params, progress=False)
        found[day] = sorted(_findings(watch(params, day)))
    expected = {day: [] for day in _DAYS} | {
        DRIFT_DAY: [f"drift {DRIFTING}"], ARRIVAL_DAY: [f"unknown {ARRIVING}"],
    }  # fmt: skip
    false = [f"{day} {each}" for day in _DAYS for each in found[day] if each not in expected[day]]
    missed = [f"{day} {each}" for day in _DAYS for each in expected[day] if each not in found[day]]
    print(f"feed {seed}: false {false}, missed {missed}", flush=True)
    return {"found": found, "false": len(false), "missed": missed, "right": not (false or missed)}


def _findings(run: MonitorRun) -> list[str]:
    names = [f"drift {each.category}" for each in (*run.drift.drifted, *run.drift.stale)]
    names += [f"rising {each.category}" for each in run.drift.rising]
    names += [f"missing {each.category}" for each in run.drift.silent_alerts]
    names += [f"unknown {_truth(run, group.paths)}" for group in run.unknown.unknown]
    return names


def _truth(run: MonitorRun, paths: tuple[str, ...]) -> str:
    """The category that most images of an unknown group show, by the feed's truth."""
    lines = (run.params.root / "feed" / "truth.csv").read_text(encoding="utf-8").splitlines()
    truth = {f"feed/{line.split(',')[0]}": line.split(",")[1] for line in lines[1:]}
    names = [truth[path] for path in paths]
    return max(sorted(set(names)), key=names.count)


if __name__ == "__main__":
    main()
