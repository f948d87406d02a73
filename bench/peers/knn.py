"""The simplest peer: distance to the nearest of many training tokens, on the project's features.

Tokens are the project's: three levels, pooled over 3 by 3, each scaled to the same variance,
projected on 128 principal components, here without whitening. A token's score
is its Euclidean distance to the nearest of 40,000 training tokens that are drawn at random over all
categories; maps and image scores are finished by the project's rule.
"""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from bench.peers.job import Job
from bench.record import ROOT
from normscape.backbones import load_backbone
from normscape.detectors.maps import finish_maps
from normscape.features.extract import ensure_features
from normscape.features.store import FeatureStore
from normscape.features.transform import TokenTransform
from normscape.files import write_json
from normscape.params import Params, load_params
from normscape.prototypes.geometry import coarse_ranks
from normscape.sections.model import FeatureParams

LEVELS = (2, 3, 4)
TOKENS = 40000
_TRANSFORM = FeatureParams(
    grid=32, neighbourhood=3, dimensions=128, whitening=0.0, fit_tokens=40000
)
_QUERIES = 1024
_REVISION = 3  # of what the code below computes


def score_knn(
    job: Job, train: pd.DataFrame, test: pd.DataFrame, folder: Path, threads: int
) -> None:
    """Fit and score; writes `scores.npy`, `maps.npy` and `record.json` into `folder`.

    Args:
        job: Seed, batch and number of tokens are used.
        train: Rows of the images to draw tokens from.
        test: Rows of the images to score.
        folder: Exists.
        threads: Of torch.
    """
    torch.set_num_threads(threads)
    start = time.monotonic()
    params = _params()
    rows = pd.concat([train, test])
    store = ensure_features(
        params, list(zip(rows["sha256"], rows["path"], strict=True)), progress=False
    )
    extracted = time.monotonic()
    transform = TokenTransform.fit(
        _maps(store, list(train["sha256"]), job.batch), _TRANSFORM, store.shapes, seed=job.seed
    )
    bank = _draw(transform, store, list(train["sha256"]), job)
    fitted = time.monotonic()
    _score(transform, store, list(test["sha256"]), job, bank, folder)
    seconds = {
        "extract": extracted - start, "fit": fitted - extracted,
        "predict": time.monotonic() - fitted,
    }  # fmt: skip
    record = {
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
        "peak_rss_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "threads": threads,
        "train_images": len(train),
        "test_images": len(test),
        "train_tokens": len(train) * transform.tokens,
        "bank_tokens": len(bank),
        "backbone": store.identity.as_dict(),
    }
    write_json(folder / "record.json", record)


def settings() -> str:
    """What shapes the result beside the job: features, transform and map finishing."""
    params = _params()
    backbone = load_backbone(params.backbone, root=ROOT, cache=params.state / "cache")
    content = {
        "features": backbone.identity.key,
        "transform": _TRANSFORM.model_dump(exclude_none=True),
        "maps": params.maps.model_dump(),
        "revision": _REVISION,
    }
    return json.dumps(content, sort_keys=True)


def nearest_distance(queries: Tensor, bank: Tensor) -> Tensor:
    """`(Q,)` Euclidean distances of `(Q, D)` queries to the nearest of `(M, D)` tokens."""
    found, squared = [], bank.square().sum(dim=1)
    for part in torch.split(queries, _QUERIES):
        nearest = bank[coarse_ranks(part, bank, squared).argmin(dim=1)]
        found.append((part - nearest).square().sum(dim=1))
    return torch.cat(found).sqrt()


def _params() -> Params:
    params = load_params(ROOT / "params.yaml")
    backbone = params.backbone.model_copy(update={"levels": LEVELS})
    paths = params.paths.model_copy(update={"state": Path(".normscape/bench")})
    return params.model_copy(update={"backbone": backbone, "paths": paths})


def _maps(store: FeatureStore, hashes: Sequence[str], batch: int) -> Iterator[list[Tensor]]:
    for first in range(0, len(hashes), batch):
        yield store.read(hashes[first : first + batch])


@torch.inference_mode()
def _draw(transform: TokenTransform, store: FeatureStore, hashes: list[str], job: Job) -> Tensor:
    """Draw `(M, D)` training tokens, each as likely as any other."""
    total = len(hashes) * transform.tokens
    generator = torch.Generator().manual_seed(job.seed)
    chosen = torch.randperm(total, generator=generator)[: job.bank_tokens].sort().values
    kept, first = [], 0
    for maps in _maps(store, hashes, job.batch):
        tokens = transform(maps).flatten(0, 1)
        inside = chosen[(chosen >= first) & (chosen < first + len(tokens))]
        kept.append(tokens[inside - first])
        first += len(tokens)
    return torch.cat(kept)


@torch.inference_mode()
def _score(  # noqa: PLR0917 - six different things
    transform: TokenTransform,
    store: FeatureStore,
    hashes: list[str],
    job: Job,
    bank: Tensor,
    folder: Path,
) -> None:
    finish = _params().maps
    scores = np.empty(len(hashes), dtype=np.float32)
    side = finish.size
    out = np.lib.format.open_memmap(
        folder / "maps.npy", mode="w+", dtype=np.float16, shape=(len(hashes), side, side)
    )
    done = 0
    for maps in _maps(store, hashes, job.batch):
        tokens = transform(maps)
        grid = nearest_distance(tokens.flatten(0, 1), bank).view(len(tokens), -1)
        pixels, score = finish_maps(torch.stack([grid, grid], dim=-1), finish)
        end = done + len(tokens)
        out[done:end], scores[done:end] = pixels.numpy(), score.numpy()
        done = end
    out.flush()
    np.save(folder / "scores.npy", scores)
