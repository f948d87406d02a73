"""Beyond grouping: ids that stay, kinds that were never seen, time and memory."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from bench.record import ROOT
from normscape.discovery.assign import assign
from normscape.discovery.catalogue import Catalogue
from normscape.discovery.describe import Described, Flagged
from normscape.discovery.edit import name_type
from normscape.discovery.eyes import Eyes
from normscape.discovery.group import group
from normscape.discovery.knowledge import Placed
from normscape.discovery.learn import discover
from normscape.discovery.views import PLAIN
from normscape.params import Params
from normscape.sections.production import DiscoveryParams

_NEW = 0.2
_TESTED = 1 / 3
_MANY = 2000
_TIMED = 40


def keeps_ids(eyes: Eyes, flagged: Sequence[Flagged], params: DiscoveryParams) -> dict[str, float]:
    """Share of the old images that keep their id when there are a fifth more of them.

    Args:
        eyes: The frozen networks.
        flagged: Images of one category.
        params: Section `discovery`.

    Returns:
        `grown`: the new images were added to what is known; `worked_on`: the space was learned
        anew after a type had got a name; `afresh`: everything was learned anew.
    """
    order = np.random.default_rng(0).permutation(len(flagged))
    old = [flagged[i] for i in order[: round(len(flagged) / (1 + _NEW))]]
    before = discover(eyes, old, Catalogue(flagged[0].category, {}), params).catalogue
    named = name_type(before, before.living[0].id, "known")
    early = params.model_copy(update={"refit_growth": 1.0 + _NEW / 2})
    found = {}
    for name, known, own in (
        ("grown", before, params), ("worked_on", named, early), ("afresh", before, params),
    ):  # fmt: skip
        after = discover(eyes, flagged, known, own, afresh=name == "afresh").catalogue
        same = [after.members[each.sha256].type == before.members[each.sha256].type for each in old]
        found[name] = float(np.mean(same))
    return found


def notices_unseen(
    kinds: Sequence[str],
    described: Sequence[Described],
    eyes: Eyes,
    params: DiscoveryParams,
) -> dict[str, float]:
    """Each kind is held out in turn: is it called unseen, and are new images of known kinds not?

    Prototypes are learned from two thirds of the other kinds' images; the last third are new
    images of known kinds. New images are seen as `assign` sees them; but how high maps are and
    where the object is was learned from all images.

    Args:
        kinds: The true kind of each image.
        described: The images.
        eyes: That described them.
        params: Section `discovery`.

    Returns:
        Means over the kinds: `auroc`, `called` (share of the held-out kind that is called unseen)
        and `false` (share of the new images of known kinds that is).
    """
    truth, levels = np.array(kinds), [shape[0] for shape in eyes.backbone.shapes]
    # The number of prototypes does not matter here: an image is compared with the known images.
    params = params.model_copy(update={"types": 1})
    generator, found = np.random.default_rng(0), []
    for kind in sorted(set(kinds)):
        others = generator.permutation(np.flatnonzero(truth != kind))
        new = others[: round(len(others) * _TESTED)]
        grouped = group([described[i] for i in others[len(new) :]], levels, params)
        tested = [*new, *np.flatnonzero(truth == kind)]
        placed = Placed.of(grouped.space, [described[i] for i in tested], PLAIN)
        strange = np.array([i >= len(new) for i in range(len(tested))])[placed.shown]
        nearest = (placed.points @ grouped.placed.points.T).max(1)
        lower = np.searchsorted(grouped.fits, nearest, side="right")
        called = (1 + lower) / (1 + len(grouped.fits)) < params.unseen_alpha
        found.append(
            [roc_auc_score(strange, -nearest), called[strange].mean(), called[~strange].mean()]
        )
    auroc, called_share, false = np.mean(found, axis=0)
    return {"auroc": float(auroc), "called": float(called_share), "false": float(false)}


def measure_speed(eyes: Eyes, images: Sequence[Flagged], params: Params) -> dict[str, Any]:
    """Milliseconds to sort one image, and minutes and GiB to discover kinds among two thousand."""
    own = [each for each in images if each.category == images[0].category]
    known = discover(
        eyes, own[: 5 * _TIMED], Catalogue(own[0].category, {}), params.discovery
    ).catalogue
    times = []
    for each in own[-_TIMED:]:
        start = time.perf_counter()
        assign(eyes, [each], known, params.discovery)
        times.append(1000 * (time.perf_counter() - start))
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        _write_many(place, images)
        command = [sys.executable, "-m", "bench.discovery_child", str(place)]
        answer = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return {"assign_ms": round(float(np.median(times)), 1), **json.loads(answer.stdout)}


def _write_many(place: Path, images: Sequence[Flagged]) -> None:
    """Two thousand images and maps as files; some come again with one pixel changed."""
    for folder in ("images", "maps"):
        (place / folder).mkdir()
    for number, each in enumerate(islice(cycle(images), _MANY)):
        picture = each.read()
        picture.putpixel((0, 0), (number % 256, number // 256, 0))
        picture.save(place / "images" / f"{number:05d}.png")
        np.save(place / "maps" / f"{number:05d}.npy", each.map.astype(np.float16))
