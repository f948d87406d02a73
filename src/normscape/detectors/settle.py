"""Which of the categories that an image may be of explains it best."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from normscape.prototypes.local import LocalBank
from normscape.prototypes.spaces import CategorySpaces


def settle(
    spaces: CategorySpaces, bank: LocalBank, tokens: Tensor, categories: Sequence[int]
) -> tuple[Tensor, int, Tensor]:
    """The category whose prototypes are nearest to an image.

    Args:
        spaces: Of the categories.
        bank: Their prototypes.
        tokens: `(N, D)` of one image.
        categories: To choose from.

    Returns:
        What `LocalBank` takes: the tokens `(N, D)` in the category's space, the category, and
        their ranks among its prototypes.
    """
    best: tuple[float, tuple[Tensor, int, Tensor]] | None = None
    for category in categories:
        inside = spaces.enter(tokens, category)
        ranks = bank.ranks(inside, category)
        misfit = (ranks.amin(dim=1).mean() + inside.square().sum(dim=1).mean()).item()
        if best is None or misfit < best[0]:
            best = misfit, (inside, category, ranks)
    if best is None:
        raise ValueError("expected at least one category to compare an image with")
    return best[1]
