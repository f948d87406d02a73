"""Checkpoints of a training in progress: one safetensors file, complete or absent."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from normscape.files import atomic_path

_NAME = "checkpoint.safetensors"
_KEPT = 3


class Checkpoints:
    """The last checkpoint of one training.

    Args:
        root: The folder of all trainings' checkpoints.
        key: Names the training: everything that shapes its result.
    """

    def __init__(self, root: Path, key: str) -> None:
        self._root = root
        self.folder = root / key
        self._path = self.folder / _NAME

    def save(self, tensors: dict[str, Tensor], progress: dict[str, Any]) -> None:
        """Replace the checkpoint.

        Raises:
            NormscapeError: The folder cannot be written.
        """
        content = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        with atomic_path(self._path) as temporary:
            save_file(content, temporary, metadata={"progress": json.dumps(progress)})

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The checkpoint's tensors (on the CPU) and progress; None if there is none to go on with.

        A file that cannot be read counts as none: training starts again, which is always right.
        """
        if not self._path.exists():
            return None
        try:
            with safe_open(self._path, "pt") as file:
                progress: dict[str, Any] = json.loads(file.metadata()["progress"])
                return {name: file.get_tensor(name) for name in file.keys()}, progress  # noqa: SIM118
        except (SafetensorError, OSError, KeyError, TypeError, json.JSONDecodeError):
            return None

    def remove(self) -> None:
        """Forget this training."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def prune(self) -> None:
        """Remove what other interrupted trainings left, except the newest few."""
        others = [path for path in self._root.glob("*") if path != self.folder and path.is_dir()]
        others.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        for path in others[_KEPT:]:
            shutil.rmtree(path, ignore_errors=True)


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The moments of an optimiser as named tensors."""
    return {
        f"{number}.{name}": value
        for number, state in optimiser.state_dict()["state"].items()
        for name, value in state.items()
    }


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put back what `optimiser_tensors` returned; the groups stay as they are."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, name = key.split(".", 1)
        state.setdefault(int(number), {})[name] = value
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state, "param_groups": groups})
