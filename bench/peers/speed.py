"""Throughput of anomalib's PatchCore beside other scorers, in rounds that take turns.

    python -m bench.peers.speed     # the peer alone, on the solar test images; about 2 minutes

A round is the scoring of the same decoded images, 16 at once, to raw scores and maps. Each peer
waits in a process of its own while others have their turn.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.datasets import solar, test_rows
from bench.peers.job import STATE, Job, check_environment, decoded, exported_weights
from bench.peers.runner import make_job
from bench.record import ROOT
from normscape.errors import NormscapeError
from normscape.files import write_json
from normscape.params import load_params
from normscape.sections.model import BackboneParams

Round = Callable[[], float]
"""Scores the images once and returns images per second."""

_SCRIPT = ROOT / "bench" / "peers" / "speed_anomalib.py"


def alternate(rounds: Mapping[str, Round], count: int) -> dict[str, list[float]]:
    """Let every scorer have `count` turns, one after the other; returns its images per second."""
    found: dict[str, list[float]] = {name: [] for name in rounds}
    for _ in range(count):
        for name, once in rounds.items():
            found[name].append(once())
    return found


@contextmanager
def patchcore_rounds(pixels: NDArray[np.uint8], threads: int = 2) -> Iterator[dict[str, Round]]:
    """PatchCore with 2,000 tokens in its memory: `torch` as shipped, and `openvino`.

    The second has its feature extractor replaced by the project's converted network, in the
    precision that the project's `auto` takes on this CPU.

    Args:
        pixels: `(N, S, S, 3)` decoded images.
        threads: Of either runtime.

    Yields:
        A round for each; the processes end with the block.

    Raises:
        UsageError: The peers' environment is absent or of another lock.
        NormscapeError: A process ended before its time.
    """
    backbone = load_params(ROOT / "params.yaml").backbone
    job, weights = make_job("patchcore", 0, backbone)
    model, precision = _converted(backbone, job)
    with tempfile.TemporaryDirectory(prefix="normscape-bench-") as temporary, ExitStack() as stack:
        folder = Path(temporary)
        np.save(folder / "pixels.npy", pixels)
        common = asdict(job) | {
            "weights": str(weights), "pixels": str(folder / "pixels.npy"), "threads": threads,
            "precision": precision,
        }  # fmt: skip
        yield {
            name: stack.enter_context(_worker(folder / f"{name}.json", content, len(pixels)))
            for name, content in (
                ("torch", common | {"model": None}),
                ("openvino", common | {"model": str(model)}),
            )
        }


@contextmanager
def _worker(path: Path, content: dict[str, object], images: int) -> Iterator[Round]:
    write_json(path, content)
    with path.with_suffix(".log").open("w+", encoding="utf-8") as log:
        process = subprocess.Popen(
            [str(check_environment()), str(_SCRIPT), str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )

        def answer() -> str:
            line = process.stdout.readline() if process.stdout else ""
            if not line:
                code = process.wait()
                log.seek(0)
                last = (log.read().strip() or "no message").splitlines()[-1]
                raise NormscapeError(f"{_SCRIPT.relative_to(ROOT)} ended with {code}: {last}")
            return line

        def once() -> float:
            if process.stdin:
                process.stdin.write("\n")
                process.stdin.flush()
            return images / float(answer())

        try:
            answer()
            yield once
        finally:
            process.terminate()
            process.communicate()


def _converted(backbone: BackboneParams, job: Job) -> tuple[Path, str]:
    """The project's OpenVINO model of PatchCore's levels, and the precision that `auto` takes."""
    from normscape.backbones import BackboneIdentity
    from normscape.backbones.conversion import convert_cached
    from normscape.backbones.network import build_network

    _, weights = exported_weights(backbone)
    identity = BackboneIdentity(
        name=job.backbone,
        weights=backbone.weights,
        weights_sha256=job.weights_sha256,
        input_size=job.size,
        levels=job.levels,
        mean=job.mean,
        std=job.std,
        runtime="openvino",
        precision="fp32",
    )
    levels = "-".join(map(str, job.levels))
    folder = STATE / "openvino" / f"{job.backbone}-{job.size}-{levels}-{job.weights_sha256[:16]}"
    converted = convert_cached(folder, job.size, lambda: build_network(identity, weights.tensors))
    return folder / "model.xml", "bf16" if converted.bf16_agrees else "fp32"


def main() -> None:
    """Measure the peer alone."""
    rows = test_rows(solar())
    size = load_params(ROOT / "params.yaml").backbone.input_size
    pixels = np.load(decoded(list(rows["path"]), list(rows["sha256"]), size))
    with patchcore_rounds(pixels) as rounds:
        print(json.dumps(alternate(rounds, 5), indent=2))


if __name__ == "__main__":
    main()
