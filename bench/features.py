"""Feature extraction: images a second, peak memory as images grow, and what one more image costs.

Run with `python -m bench.features`; it takes some minutes and 2 GB in the temporary folder. Each
figure comes from a process of its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.record import Claim, write_result

FEW, MANY = 500, 5000
RUNTIMES = (("torch", "fp32"), ("openvino", "fp32"), ("openvino", "bf16"))
_SPEED_IMAGES = 256
_ROUNDS = 3
_BATCH = 16


def main() -> None:
    """Measure everything, write `bench/results/features.json` and print its claims."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m bench.features")
    parser.add_argument("--worker", choices=("extract", "speed"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--images", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--store", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker == "extract":
        print(json.dumps(extract(arguments.folder, arguments.images, arguments.store)))
    elif arguments.worker == "speed":
        print(json.dumps(speed(arguments.folder)))
    else:
        with tempfile.TemporaryDirectory(prefix="normscape-bench-") as folder:
            report(Path(folder))


def report(folder: Path) -> None:
    """Run the workers in `folder` and write the result."""
    write_images(folder / "images", MANY + 1)
    # The first process converts the network; its memory would hide what extraction needs.
    _work("extract", folder, "--images", str(_BATCH), "--store", "first")
    raw: dict[str, Any] = {"images_per_second": _work("speed", folder)}
    for count in (FEW, MANY):
        raw[f"extract_{count}"] = _work(
            "extract", folder, "--images", str(count), "--store", str(count)
        )
    raw["one_more"] = _work("extract", folder, "--images", str(MANY + 1), "--store", str(MANY))
    growth = raw[f"extract_{MANY}"]["peak_rss_mib"] / raw[f"extract_{FEW}"]["peak_rss_mib"]
    claims = [
        Claim(
            "features.memory_growth", round(growth, 4), 1.15, "ratio", "at most",
            f"peak resident memory of extracting {MANY} images over that of {FEW}",
        ),
        Claim(
            "features.incremental", raw["one_more"]["extracted"], 1, "images", "exactly",
            f"images added to the store when one image joins {MANY}",
        ),
    ]  # fmt: skip
    path = write_result("features", raw, claims)
    print(path.read_text(encoding="utf-8"))


def extract(folder: Path, images: int, store: str) -> dict[str, Any]:
    """Extract the first `images` images; return peak memory, seconds and images extracted."""
    from normscape.features.extract import ensure_features, open_store
    from normscape.files import sha256_file
    from normscape.params import Params
    from normscape.sections.data import PathParams

    state = folder / store
    state.mkdir(exist_ok=True)
    (folder / "cache").mkdir(exist_ok=True)
    if not (state / "cache").exists():
        (state / "cache").symlink_to(folder / "cache")
    params = Params(root=folder, paths=PathParams(state=Path(store)))
    files = sorted((folder / "images").iterdir())[:images]
    items = [(sha256_file(path), path) for path in files]
    before = _rows(open_store(params)[0].folder)
    start = time.monotonic()
    extracted = ensure_features(params, items, progress=sys.stderr.isatty())
    return {
        "images": len(items),
        "extracted": _rows(extracted.folder) - before,
        "seconds": round(time.monotonic() - start, 2),
        "peak_rss_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "runtime": extracted.identity.runtime,
        "precision": extracted.identity.precision,
    }


def speed(folder: Path) -> list[dict[str, Any]]:
    """Images a second of the backbone alone, for each runtime this machine has."""
    from normscape.backbones import Backbone, load_backbone
    from normscape.data.images import read_image
    from normscape.errors import UsageError
    from normscape.features.preprocess import to_batch
    from normscape.sections.model import BackboneParams

    files = sorted((folder / "images").iterdir())[:_SPEED_IMAGES]
    pixels = to_batch([read_image(path) for path in files], BackboneParams().input_size)
    runs: list[tuple[Backbone, list[float]]] = []
    for runtime, precision in RUNTIMES:
        params = BackboneParams.model_validate({"runtime": runtime, "precision": precision})
        try:
            backbone = load_backbone(params, cache=folder / "cache")
        except UsageError:
            continue
        backbone(pixels[:_BATCH])
        runs.append((backbone, []))
    for _ in range(_ROUNDS):
        for backbone, rates in runs:
            start = time.monotonic()
            for first in range(0, len(files), _BATCH):
                backbone(pixels[first : first + _BATCH])
            rates.append(round(len(files) / (time.monotonic() - start), 1))
    return [
        {"runtime": b.identity.runtime, "precision": b.identity.precision, "rounds": rates}
        for b, rates in runs
    ]


def write_images(folder: Path, count: int) -> None:
    """Write 256-pixel PNG crops of scikit-image's photographs with noise: no two are alike."""
    import numpy as np
    from PIL import Image
    from skimage import data

    photographs = [data.brick(), data.gravel(), data.grass()]
    generator = np.random.default_rng(0)
    folder.mkdir()
    for number in range(count):
        top, left = generator.integers(0, 256, size=2)
        crop = photographs[number % 3][top : top + 256, left : left + 256].astype(np.int16)
        noisy = (crop + generator.integers(-8, 9, size=crop.shape)).clip(0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(folder / f"{number:05d}.png", compress_level=1)


def _rows(folder: Path) -> int:
    return sum(len(json.loads(path.read_text())["sha256"]) for path in folder.glob("*.json"))


def _work(worker: str, folder: Path, *arguments: str) -> Any:
    command = [sys.executable, "-m", "bench.features", "--worker", worker, "--folder", str(folder)]
    answer = subprocess.run([*command, *arguments], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(answer.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
