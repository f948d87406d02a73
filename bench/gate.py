"""How often the gate's rule refuses an equal model, and how often a worse one, in simulation.

    make bench-gate         # prints the table of docs/gate.md; some minutes

Champion and challenger score the same images: how hard an image is is common to both, and each adds
noise of its own. `noise` is its standard deviation where the images' is 1; two seeds of one model
differ little, two methods much. A worse challenger lifts its anomalous images less.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
from scipy import stats

from normscape.evaluation.bootstrap import average, paired_auroc
from normscape.sections.delivery import GateParams

CATEGORIES = 5
IMAGES = (10, 20, 40, 80)
"""Normal ones of a category; there are as many anomalous ones."""

NOISE = (0.05, 0.15)
LOSS = (0.0, 0.02, 0.04, 0.08)
"""Of the true AUROC of every category, from `AUROC`."""

AUROC = 0.93


@dataclass(frozen=True)
class Refused:
    """Share of the repetitions in which a rule refused the challenger.

    Attributes:
        mean: By the lower limit of the mean's difference.
        category: By the upper limit of any category's difference.
    """

    mean: float
    category: float


def simulate(images: int, noise: float, loss: float, *, repetitions: int, seed: int = 0) -> Refused:
    """Gate `repetitions` challengers whose true AUROC is lower by `loss`."""
    params = GateParams()
    generator = np.random.default_rng(seed)
    names = np.repeat([f"c{number}" for number in range(CATEGORIES)], 2 * images)
    labels = np.tile(np.repeat([0, 1], images), CATEGORIES)
    spread = (2 * (1 + noise**2)) ** 0.5
    lifts = [spread * stats.norm.ppf(auroc) for auroc in (AUROC - loss, AUROC)]
    refused = np.zeros((repetitions, 2))
    for repetition in range(repetitions):
        hard = generator.standard_normal(len(labels))
        models = [
            hard + noise * generator.standard_normal(len(labels)) + lift * labels for lift in lifts
        ]
        found = paired_auroc(labels, names, models[0], models[1], resamples=500)
        low, _ = average(found.values()).interval(params.confidence)
        highs = [part.interval(params.confidence)[1] for part in found.values()]
        refused[repetition] = (
            low < -params.champion_tolerance,
            min(highs) < -params.champion_category_tolerance,
        )
    return Refused(*(float(share) for share in refused.mean(axis=0)))


def main() -> None:
    """Print the table as Markdown: refused by the mean, and in brackets by a category."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m bench.gate")
    parser.add_argument("--repetitions", type=int, default=300)
    repetitions = parser.parse_args().repetitions
    heads = [f"lower by {loss:g}" if loss else "equal" for loss in LOSS]
    print(f"| test images a category | noise | {' | '.join(heads)} |")
    print("|---:|---:" + "|---:" * len(heads) + "|")
    for images in IMAGES:
        for noise in NOISE:
            cells = []
            for loss in LOSS:
                found = simulate(images, noise, loss, repetitions=repetitions)
                cells.append(f"{found.mean:.2f} ({found.category:.2f})")
            print(f"| {images} + {images} | {noise:g} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
