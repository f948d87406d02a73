"""The registry and production scoring: races, faults, the score log, throughput, large images.

    make bench-registry     # writes bench/results/registry.json; about an hour on 2 cores

A part that is run alone (`--part`) replaces its own figures and keeps those of the others.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

from bench import production, registry_races, tiles
from bench.record import Claim, commit, earlier, hardware, write_result

Measure = Callable[[], tuple[dict[str, Any], list[Claim]]]

PARTS = ("races", "production", "tiles")
REPETITIONS = 5


def main() -> None:
    """Measure and write the result, after every part."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m bench.registry")
    parser.add_argument("--part", choices=PARTS, help="only this one (all)")
    parser.add_argument("--repetitions", type=int, default=REPETITIONS, help="of every race (5)")
    arguments = parser.parse_args()
    measures: dict[str, Measure] = {
        "races": partial(registry_races.measured, arguments.repetitions),
        "production": production.measured,
        "tiles": tiles.measured,
    }
    raw, claims = earlier("registry")
    for part in PARTS if arguments.part is None else (arguments.part,):
        raw[part], found = measures[part]()
        made_with = {"commit": commit(), "hardware": hardware()}
        raw["measured"] = raw.get("measured", {}) | {part: made_with}
        made = {claim.id for claim in found}
        claims = [claim for claim in claims if claim.id not in made] + found
        print(write_result("registry", raw, claims), flush=True)


if __name__ == "__main__":
    main()
