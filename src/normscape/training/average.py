"""Weights averaged over the steps of a training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

_WARM_UP = 9


class Average:
    """An exponential moving average of a module's tensors that forgets its start quickly.

    After step k, from 0, the share `min(decay, k / (k + 9))` of the average stays.

    Args:
        module: Whose floating-point tensors are averaged.
        decay: The largest share that stays.

    Attributes:
        tensors: The average, by name in the state dict.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self._module = module
        self._decay = decay
        self.tensors: dict[str, Tensor] = copied(module)

    def follow(self, step: int) -> None:
        """Take the module's tensors after step `step` into the average."""
        kept = min(self._decay, step / (step + _WARM_UP))
        for name, value in self._module.state_dict().items():
            self.tensors[name].lerp_(value, 1.0 - kept)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The module holds the average inside the context, and its own tensors after it."""
        own = copied(self._module)
        self._module.load_state_dict(self.tensors)
        try:
            yield
        finally:
            self._module.load_state_dict(own)


def copied(module: nn.Module) -> dict[str, Tensor]:
    """A copy of a module's tensors, by name."""
    return {name: value.clone() for name, value in module.state_dict().items()}
