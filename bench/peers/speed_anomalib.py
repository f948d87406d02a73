"""Times anomalib's PatchCore in `.venv-peers`, one round for each line on stdin.

    .venv-peers/bin/python bench/peers/speed_anomalib.py JOB.json     # see `bench.peers.speed`

Prints `ready`, then the seconds of each round: from decoded bytes to raw scores and maps.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from run_anomalib import batches, build  # beside this file; must come before openvino
from torch import Tensor, nn


class OpenVinoExtractor(nn.Module):
    """Stands for anomalib's feature extractor: the project's converted network, as it runs it.

    Args:
        job: `model` (an OpenVINO model for one image that normalises by itself), `precision`,
            `threads` and `levels` are used.
    """

    def __init__(self, job: dict[str, Any]) -> None:
        super().__init__()
        import openvino

        self.levels = job["levels"]
        options = {
            "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[job["precision"]],
            "NUM_STREAMS": job["threads"],
            "INFERENCE_NUM_THREADS": job["threads"],
        }
        compiled = openvino.Core().compile_model(job["model"], "CPU", options)
        self.queue = openvino.AsyncInferQueue(compiled)
        self.shapes = [tuple(output.shape)[1:] for output in compiled.outputs]

    def forward(self, inputs: Tensor) -> dict[int, Tensor]:
        """Extract `{level: (B, C, H, W)}` from `(B, 3, S, S)` pixels in [0, 1]."""
        maps = [np.empty((len(inputs), *shape), dtype=np.float32) for shape in self.shapes]

        def keep(request: Any, row: int) -> None:
            for level, out in enumerate(maps):
                out[row] = request.get_output_tensor(level).data[0]

        self.queue.set_callback(keep)
        for row in range(len(inputs)):
            self.queue.start_async({0: inputs[row : row + 1].numpy()}, row)
        self.queue.wait_all()
        return dict(zip(self.levels, map(torch.from_numpy, maps), strict=True))


def main(path: Path) -> None:
    """Serve rounds until stdin ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever libraries print is no answer
    job = json.loads(path.read_text(encoding="utf-8"))
    torch.set_num_threads(job["threads"])
    torch.manual_seed(job["seed"])
    pixels = np.load(job["pixels"])
    model = build(job, tokens=job["bank_tokens"])
    if job["model"] is not None:
        model.pre_processor = None
        model.model.feature_extractor = OpenVinoExtractor(job)
    with torch.inference_mode():
        fill_bank(model, pixels, job)
        score(model, pixels[: job["batch"]], job["batch"])
        answers.write("ready\n")
        for _ in sys.stdin:
            start = time.perf_counter()
            score(model, pixels, job["batch"])
            answers.write(f"{time.perf_counter() - start}\n")


def fill_bank(model: Any, pixels: NDArray[np.uint8], job: dict[str, Any]) -> None:
    """Draw the memory bank from the images' own tokens: its size alone matters for time."""
    model.train()
    for part in batches(pixels, job["batch"]):
        model.model(model.pre_processor(part) if model.pre_processor else part)
    tokens = torch.vstack(model.model.embedding_store)
    model.model.embedding_store.clear()
    model.model.memory_bank = tokens[torch.randperm(len(tokens))[: job["bank_tokens"]]]
    model.eval()


def score(model: Any, pixels: NDArray[np.uint8], batch: int) -> None:
    """Score and forget."""
    for part in batches(pixels, batch):
        found = model(part)
        found.pred_score.numpy()
        found.anomaly_map.numpy()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
