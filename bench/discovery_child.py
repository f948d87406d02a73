"""One discovery in a process of its own: prints minutes and the most memory, as JSON."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

from bench.ours import bench_params
from normscape.backbones import load_backbone
from normscape.discovery.catalogue import Catalogue
from normscape.discovery.eyes import Eyes
from normscape.discovery.learn import discover
from normscape.discovery.sources import from_folders


def main(place: Path) -> None:
    """Discover the kinds of defects among the images and maps below a folder."""
    params = bench_params()
    eyes = Eyes(load_backbone(params.backbone, root=params.root, cache=params.state / "cache"))
    start = time.monotonic()
    flagged, _ = from_folders(place / "images", place / "maps", "many")
    found = discover(eyes, flagged, Catalogue("many", {}), params.discovery)
    minutes = (time.monotonic() - start) / 60
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    figures = {
        "images": len(flagged),
        "types": len(found.catalogue.living),
        "discovery_minutes": round(minutes, 2),
        "discovery_gib": round(peak, 2),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
