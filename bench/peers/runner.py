"""Raw scores and maps of a peer: computed once, kept below `.normscape/bench/peers`."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.datasets import test_rows, train_rows
from bench.peers.job import (
    STATE,
    Job,
    Method,
    check_environment,
    decoded,
    exported_weights,
)
from bench.record import ROOT
from normscape.errors import NormscapeError
from normscape.files import atomic_folder, exclusive_lock, read_json, write_json
from normscape.params import load_params
from normscape.sections.model import BackboneParams

_SCRIPT = ROOT / "bench" / "peers" / "run_anomalib.py"
_WAIT_SECONDS = 6 * 3600.0


@dataclass(frozen=True)
class PeerResult:
    """What a peer says of the test images, in the order of their table.

    Attributes:
        scores: `(N,)` raw image scores.
        maps: `(N, S, S)` float16 raw anomaly maps, memory-mapped.
        record: Seconds, memory in GiB, number of tokens, versions.
    """

    scores: NDArray[np.float32]
    maps: NDArray[np.float16]
    record: dict[str, Any]


def run_peer(method: Method, rows: pd.DataFrame, seed: int, threads: int = 2) -> PeerResult:
    """Fit one model on all categories of a table together and score its test images.

    Args:
        method: The peer.
        rows: The table of `bench.datasets`.
        seed: Of everything that is drawn.
        threads: Of torch; no part of the key, as results differ by rounding alone.

    Raises:
        UsageError: The peers' environment is absent or of another lock.
        NormscapeError: The peer failed; its last lines are in the message.
    """
    train, test = train_rows(rows), test_rows(rows)
    hashes = list(train["sha256"]), list(test["sha256"])
    backbone = load_params(ROOT / "params.yaml").backbone
    job, weights = make_job(method, seed, backbone)

    def produce(folder: Path) -> None:
        if method == "knn":
            from bench.peers.knn import score_knn

            score_knn(job, train, test, folder, threads)
            return
        content = asdict(job) | {
            "threads": threads,
            "weights": str(weights),
            "train": str(decoded(list(train["path"]), hashes[0], job.size)),
            "test": str(decoded(list(test["path"]), hashes[1], job.size)),
            "out": str(folder),
        }
        write_json(folder / "job.json", content)
        run_command([str(check_environment()), str(_SCRIPT), str(folder / "job.json")])

    return load(cached(job.key(*hashes), produce))


def make_job(method: Method, seed: int, backbone: BackboneParams) -> tuple[Job, Path]:
    """The job of a peer on the project's backbone, and the file of its weights."""
    path, weights = exported_weights(backbone)
    job = Job(
        method=method,
        seed=seed,
        backbone=backbone.name,
        weights_sha256=weights.sha256,
        size=backbone.input_size,
        mean=weights.mean,
        std=weights.std,
    )
    if method == "knn":
        from bench.peers.knn import LEVELS, TOKENS, settings

        job = replace(job, levels=LEVELS, bank_tokens=TOKENS, settings=settings())
    return job, path


def cached(key: str, produce: Callable[[Path], None], state: Path = STATE) -> Path:
    """The folder of a finished result, produced first where there is none.

    Args:
        key: Names the result.
        produce: Fills a temporary folder, which is renamed when it returns; nothing of a job that
            failed or was killed is ever found under the key.
        state: Where results are kept.
    """
    folder = state / key
    if (folder / "record.json").is_file():
        return folder
    lock = state / "locks" / f"{key}.lock"
    with exclusive_lock(lock, f"the peer's job {key}", wait_seconds=_WAIT_SECONDS):
        if not (folder / "record.json").is_file():
            with atomic_folder(folder) as temporary:
                produce(temporary)
    return folder


def load(folder: Path) -> PeerResult:
    """Read a finished result.

    Raises:
        NormscapeError: A score is not finite.
    """
    scores = np.load(folder / "scores.npy")
    if not np.isfinite(scores).all():
        raise NormscapeError(f"{folder}: a score is not finite; remove the folder and run again")
    maps = np.load(folder / "maps.npy", mmap_mode="r")
    return PeerResult(scores, maps, read_json(folder / "record.json"))


def run_command(command: Sequence[str]) -> None:
    """Run a peer's command to its end.

    Raises:
        NormscapeError: It failed; the message holds its last line.
    """
    answer = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False
    )
    if answer.returncode:
        lines = [line for line in answer.stderr.splitlines() if line.strip()]
        raise NormscapeError(
            f"{Path(command[0]).name} {' '.join(command[1:])} ended with {answer.returncode}: "
            f"{lines[-1] if lines else 'no message'}"
        )
