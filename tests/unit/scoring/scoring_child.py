"""What the tests run in processes of their own; they import it by name."""

from pathlib import Path

import torch

from normscape.params import load_params
from normscape.scoring import run


def score(root: str, folder: str) -> None:
    """Score a day, committing after every batch."""
    torch.set_num_threads(1)
    run._COMMIT_SECONDS = 0.0
    run.score_place(Path(folder), load_params(Path(root) / "params.yaml"), progress=False)
