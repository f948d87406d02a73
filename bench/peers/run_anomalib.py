"""Fits one of anomalib's models and scores images with it; runs in `.venv-peers`.

    .venv-peers/bin/python bench/peers/run_anomalib.py JOB.json     # see `bench.peers.job.Job`

anomalib's own: the classes `Patchcore` and `Padim`, their pre-processor (with our mean and std),
feature extraction at timm's levels, neighbourhood pooling, random projection, k-center-greedy
selection, Gaussians, image score and map. Not used: `Engine` and the data module, because images
come decoded, so that both sides see the same pixels; and the post-processor, which normalises and
clamps scores. Ours: the network's weights are loaded from a file, and the distances inside the
k-center-greedy loop are computed without its two temporary matrices (`LeanProjection`,
`LeanKCenterGreedy`); the same tokens are chosen.
"""

from __future__ import annotations

import json
import logging
import resource
import sys
import time
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # it reports to the vendor
warnings.filterwarnings("ignore", category=FutureWarning)

import numpy as np  # noqa: E402
import torch  # noqa: E402
from anomalib.models import Padim, Patchcore  # noqa: E402
from anomalib.models.components import KCenterGreedy, SparseRandomProjection  # noqa: E402
from anomalib.models.image.patchcore import torch_model  # noqa: E402
from anomalib.pre_processing import PreProcessor  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from torch import Tensor  # noqa: E402
from torchvision.transforms.v2 import Normalize  # noqa: E402

_PACKAGES = ("anomalib", "torch", "timm", "openvino", "numpy", "scikit-learn")
_MAX_SHARE = 0.1  # of the tokens in the coreset: anomalib's default
_CHUNK = 65536


class LeanProjection(SparseRandomProjection):
    """anomalib's random projection R without its wider result.

    With `eps=0.9` and n tokens R has `4 ln n / 0.162` rows, over twice as many as our channels.
    As ‖R(x - y)‖² = (x - y)ᵀ RᵀR (x - y), the symmetric root of RᵀR gives the same distances in
    as many dimensions as there are channels.
    """

    def transform(self, embedding: Tensor) -> Tensor:
        """Project `(n, C)` tokens to `(n, min(C, rows))`; distances are those of `R`."""
        rows, channels = self.sparse_random_matrix.shape
        if rows <= channels:
            return super().transform(embedding)
        matrix = self.sparse_random_matrix.double()
        values, vectors = torch.linalg.eigh(matrix.T @ matrix)
        return embedding @ (vectors * values.clamp(min=0).sqrt()).to(embedding.dtype)


class LeanKCenterGreedy(KCenterGreedy):
    """anomalib's k-center-greedy selection, one pass over the tokens for each centre.

    The original writes the difference of all tokens to the centre before it takes the norm. Here
    ‖x - c‖² = ‖x‖² - 2xᵀc + ‖c‖²; squares have the same largest element.
    """

    def __init__(self, embedding: Tensor, sampling_ratio: float) -> None:
        super().__init__(embedding, sampling_ratio)
        self.model = LeanProjection(eps=self.model.eps)

    def update_distances(self, cluster_center: int | Tensor | None) -> None:
        """Lower `min_distances` (squared) to the distances from one centre."""
        if cluster_center is None:
            return
        if self.min_distances is None:
            self.features -= self.features.mean(dim=0)  # against cancellation
            self.norms = torch.cat([part.square().sum(1) for part in self.features.split(_CHUNK)])
        index = int(cluster_center)
        distances = torch.mv(self.features, self.features[index]).mul_(-2.0)
        distances.add_(self.norms).add_(self.norms[index]).clamp_(min=0.0)
        distances.unsqueeze_(1)
        if self.min_distances is not None:
            torch.minimum(distances, self.min_distances, out=distances)
        self.min_distances = distances


def build(job: dict[str, Any], tokens: int) -> Any:
    """Build the lightning module with our weights in its feature extractor.

    Args:
        job: The job.
        tokens: Number of training tokens, which anomalib's coreset is a share of.
    """
    normalise = PreProcessor(transform=Normalize(mean=job["mean"], std=job["std"]))
    common: dict[str, Any] = {
        "backbone": job["backbone"],
        "layers": job["levels"],
        "pre_trained": False,
        "pre_processor": normalise,
        "post_processor": False,
        "evaluator": False,
        "visualizer": False,
    }
    if job["method"] == "patchcore":
        share = min(_MAX_SHARE, (job["bank_tokens"] + 0.5) / tokens)
        model: Any = Patchcore(coreset_sampling_ratio=share, **common)
    else:
        model = Padim(n_features=job["padim_features"], **common)
    extractor = model.model.feature_extractor.feature_extractor
    weights = load_file(job["weights"])
    wanted = extractor.state_dict()
    if missing := [name for name in wanted if name not in weights]:
        raise SystemExit(f"error: {job['weights']} has no {', '.join(missing[:3])}")
    extractor.load_state_dict({name: weights[name] for name in wanted})
    return model


def batches(pixels: NDArray[np.uint8], size: int) -> Iterator[Tensor]:
    """Yield `(B, 3, S, S)` float32 in [0, 1] from `(N, S, S, 3)` bytes."""
    for first in range(0, len(pixels), size):
        part = torch.from_numpy(np.array(pixels[first : first + size]))
        yield part.permute(0, 3, 1, 2).contiguous().float().div_(255.0)


def fit(model: Any, pixels: NDArray[np.uint8], batch: int) -> dict[str, float]:
    """Collect the training tokens and fit; returns the seconds of both steps."""
    start = time.monotonic()
    model.train()
    for part in batches(pixels, batch):
        model.model(model.pre_processor(part))
    collected = time.monotonic()
    model.fit()
    model.eval()
    return {"collect": collected - start, "fit": time.monotonic() - collected}


def score(model: Any, pixels: NDArray[np.uint8], batch: int, out: Path) -> None:
    """Write `scores.npy` (N,) float32 and `maps.npy` (N, S, S) float16, raw."""
    side = pixels.shape[1]
    scores = np.empty(len(pixels), dtype=np.float32)
    maps = np.lib.format.open_memmap(
        out / "maps.npy", mode="w+", dtype=np.float16, shape=(len(pixels), side, side)
    )
    done = 0
    with torch.inference_mode():
        for part in batches(pixels, batch):
            found = model(part)
            end = done + len(part)
            scores[done:end] = found.pred_score.reshape(-1).numpy()
            maps[done:end] = found.anomaly_map.reshape(-1, side, side).numpy()
            done = end
    maps.flush()
    np.save(out / "scores.npy", scores)


def main(path: Path) -> None:
    """Do the job; its folder `out` must exist, and gets scores, maps and `record.json`."""
    job = json.loads(path.read_text(encoding="utf-8"))
    logging.getLogger("anomalib").setLevel(logging.ERROR)
    torch.set_num_threads(job["threads"])
    np.random.seed(job["seed"])  # scikit-learn draws the projection from it
    torch.manual_seed(job["seed"])
    torch_model.KCenterGreedy = LeanKCenterGreedy
    train = np.load(job["train"], mmap_mode="r")
    test = np.load(job["test"], mmap_mode="r")
    out = Path(job["out"])
    tokens = len(train) * (job["size"] // job["stride"]) ** 2
    model = build(job, tokens)
    seconds = fit(model, train, job["batch"])
    start = time.monotonic()
    score(model, test, job["batch"], out)
    seconds["predict"] = time.monotonic() - start
    bank = getattr(model.model, "memory_bank", None)
    record = {
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
        "peak_rss_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "threads": job["threads"],
        "train_images": len(train),
        "test_images": len(test),
        "train_tokens": tokens,
        "bank_tokens": len(bank) if isinstance(bank, Tensor) else None,
        "versions": {name: version(name) for name in _PACKAGES},
    }
    (out / "record.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
