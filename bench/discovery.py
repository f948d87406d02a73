"""Are the kinds of defects found, does a new image get the right one, is a new kind noticed?

    make bench-discovery      # writes bench/results/discovery.json; under 60 minutes

Magnetic tile and bottle with three seeds of the detector, and 24 categories of the scale set with
six kinds each. No label reaches the method but where it says so; "given" is the number of kinds.
The settings of `params.yaml` were chosen on the first 12 tested categories of another data seed of
the scale set; magnetic tile and bottle were looked at while the method was made. A part that is run
alone (`--part`) replaces its own figures and keeps those of the others.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from bench.discovery_kinds import means, measure_category
from bench.discovery_measures import mean_of
from bench.discovery_sets import REAL, SCALE_CATEGORIES, real_sets, scale_sets
from bench.discovery_stable import keeps_ids, measure_speed, notices_unseen
from bench.ours import bench_params
from bench.record import Claim, commit, earlier, hardware, write_result
from normscape.backbones import load_backbone
from normscape.discovery.eyes import Eyes
from normscape.params import Params

SEEDS = (0, 1, 2)
PUBLISHED = {"nmi": 0.38, "ari": 0.39, "f1": 0.62}
"""Magnetic tile, number of kinds given; PatchCore's maps with AnomalyNCD have .380/.390/.617."""

Measured = tuple[dict[str, Any], list[Claim]]


def main() -> None:
    """Measure and write the result, after every part."""
    measures: dict[str, Callable[[Params, Eyes], Measured]] = {
        "real": real, "scale": scale, "ids": ids, "speed": speed,
    }  # fmt: skip
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m bench.discovery")
    parser.add_argument("--part", choices=list(measures), help="only this one (all)")
    chosen = parser.parse_args().part
    params = bench_params()
    eyes = Eyes(load_backbone(params.backbone, root=params.root, cache=params.state / "cache"))
    raw, claims = earlier("discovery")
    for part in measures if chosen is None else (chosen,):
        raw[part], found = measures[part](params, eyes)
        made_with = {"commit": commit(), "hardware": hardware()}
        raw["measured"] = raw.get("measured", {}) | {part: made_with}
        made = {claim.id for claim in found}
        claims = [claim for claim in claims if claim.id not in made] + found
        print(write_result("discovery", raw, claims), flush=True)


def real(params: Params, eyes: Eyes) -> Measured:
    """Magnetic tile and bottle: groups, number of kinds, kinds that were never seen."""
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in REAL}
    unseen = {}
    for seed in SEEDS:
        for name, defects in real_sets(params, seed).items():
            result, seen = measure_category(defects, eyes, params.discovery)
            runs[name].append(result)
            _tell(name, seed, result)
            if seed == SEEDS[0]:
                unseen[name] = notices_unseen(
                    [each.source for each in defects.anomalous], seen, eyes, params.discovery
                )
    raw: dict[str, Any] = {
        name: {"seeds": own, "mean": means(own), "unseen": unseen[name]}
        for name, own in runs.items()
    }
    return raw, real_claims(raw)


def real_claims(raw: dict[str, Any]) -> list[Claim]:
    """What the figures of magnetic tile and bottle say."""
    tile = raw["magnetic_tile"]["mean"]
    how = f"magnetic tile, {tile['images']:.0f} images, number of kinds given, {len(SEEDS)} seeds"
    claims = [
        Claim(f"discovery.tile_{way}_{name}", round(tile[way]["given"][name], 3), target, "",
              "at least", f"{name} on {how}; {words}")
        for name, target in PUBLISHED.items()
        for way, words in (("flagged", "those that are not flagged count as wrong"),
                           ("all", "all are given, flagged or not, as published"))
    ]  # fmt: skip
    for name, own in raw.items():
        for way, words in (("all", "all images given"), ("flagged", "flagged images given")):
            worst = max(abs(run[way]["estimated_kinds"] - run["kinds"]) for run in own["seeds"])
            claims.append(
                Claim(f"discovery.{name}_kinds_{way}", worst, 1, "kinds", "at most",
                      f"estimated number against the true one, {words}, worst of the seeds")
            )  # fmt: skip
    return [*claims, *(_unseen_claim(name, each["unseen"]) for name, each in raw.items())]


def scale(params: Params, eyes: Eyes) -> Measured:
    """The scale set: the same, with the maps of one seed."""
    runs, unseen = [], []
    for name, defects in scale_sets(params).items():
        result, seen = measure_category(defects, eyes, params.discovery)
        runs.append({"category": name, **result})
        _tell(name, 0, result)
        truth = [each.source for each in defects.anomalous]
        unseen.append(notices_unseen(truth, seen, eyes, params.discovery))
    raw = {"categories": runs, "mean": means(runs), "unseen": mean_of(unseen)}
    mean = raw["mean"]
    gain = mean["all"]["given"]["f1"] - mean["all"]["kmeans"]["f1"]
    claims = [
        Claim("discovery.scale_kinds", round(mean["within_one"], 3), 0.8, "of categories",
              "at least", f"estimated within one of six, {SCALE_CATEGORIES} categories"),
        Claim("discovery.scale_over_kmeans", round(gain, 3), 0.0, "", "at least",
              "mean F1 with the number given, minus that of k-means"),
        _unseen_claim("scale", raw["unseen"]),
    ]  # fmt: skip
    return raw, claims


def ids(params: Params, eyes: Eyes) -> Measured:
    """Whether old images keep their ids when new ones come."""
    sets = real_sets(params, SEEDS[0])
    raw = {name: keeps_ids(eyes, sets[name].anomalous, params.discovery) for name in REAL}
    claims = [
        Claim(f"discovery.ids_{name}_{way}", round(raw[name][way], 3), 0.95, "of old images",
              "at least", f"keep their id with 20 % new images, {name}, {words}")
        for name in REAL
        for way, words in (("grown", "as a scheduled run adds them"),
                           ("worked_on", "a new space after a type got a name"),
                           ("afresh", "everything learned anew because a person asked for it"))
    ]  # fmt: skip
    return raw, claims


def speed(params: Params, eyes: Eyes) -> Measured:
    """Time and memory; the machine must have nothing else to do."""
    images = real_sets(params, SEEDS[0])["magnetic_tile"].anomalous
    more = [each for defects in scale_sets(params).values() for each in defects.anomalous]
    raw = measure_speed(eyes, [*images, *more], params)
    return raw, [
        Claim("discovery.assign_ms", raw["assign_ms"], 50.0, "ms", "at most",
              "an image sorted by stored prototypes, beyond scoring, median"),
        Claim("discovery.minutes", raw["discovery_minutes"], 10.0, "minutes", "at most",
              f"discovery on {raw['images']} flagged images"),
        Claim("discovery.gib", raw["discovery_gib"], 4.0, "GiB", "at most",
              "most memory of that process"),
    ]  # fmt: skip


def _unseen_claim(name: str, figures: dict[str, float]) -> Claim:
    how = "AUROC of a held-out kind against new images of known kinds, mean over kinds"
    return Claim(f"discovery.unseen_{name}", round(figures["auroc"], 3), 0.85, "", "at least", how)


def _tell(name: str, seed: int, result: dict[str, Any]) -> None:
    print(name, seed, result, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
