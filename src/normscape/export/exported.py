"""A written artefact, ready to judge images like the scorer it was made from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from normscape.errors import NormscapeError, UsageError
from normscape.export.formats.base import Answers, Runner, format_of
from normscape.export.record import Record
from normscape.scoring.result import ImageScore

if TYPE_CHECKING:
    import torch
    from PIL import Image


class Exported:
    """An artefact of `normscape models export`; only its own runtime is imported.

    Args:
        record: What `export.json` says.
        run: Its loaded graph.
    """

    def __init__(self, record: Record, run: Runner) -> None:
        self.record = record
        self._run = run
        self._categories = {item.name: item for item in record.categories}

    @classmethod
    def load(cls, folder: Path) -> Exported:
        """Verify every checksum and load the graph.

        Raises:
            UsageError: There is no artefact in the folder.
            NormscapeError: It is damaged, or this machine cannot run it.
        """
        record = Record.load(folder)
        return cls(record, format_of(record.kind).load(folder, record))

    @property
    def known(self) -> tuple[str, ...]:
        """The categories that the model knows, in its order."""
        return tuple(self._categories)

    def score(
        self, images: Sequence[Image.Image], declared: Sequence[str | None] | None = None
    ) -> list[ImageScore]:
        """Score decoded RGB images of any size, as `Scorer.score`."""
        from normscape.features.preprocess import to_batch

        if not images:
            return []
        pixels = to_batch(images, self.record.input["size"])
        return self.score_batch(pixels, declared or [None] * len(images))

    def score_batch(self, pixels: torch.Tensor, declared: Sequence[str | None]) -> list[ImageScore]:
        """Score one batch `(B, 3, S, S)` in [0, 1], as `Scorer.score_batch`.

        Raises:
            UsageError: `pixels` and `declared` differ in length.
            NormscapeError: A score is not finite.
        """
        if len(declared) != len(pixels):
            raise UsageError(
                f"{len(pixels)} images but {len(declared)} declared categories; expected one each"
            )
        found = self.answers(pixels, declared)
        return [
            self._result({name: values[row] for name, values in found.items()}, line)
            for row, line in enumerate(declared)
        ]

    def answers(self, pixels: torch.Tensor, declared: Sequence[str | None]) -> Answers:
        """What the graph itself says of a batch, under the names of its outputs.

        Raises:
            NormscapeError: A score is not finite.
        """
        position = {name: index for index, name in enumerate(self.known)}
        indices = np.array([position.get(name or "", -1) for name in declared], dtype=np.int64)
        found = self._run(np.ascontiguousarray(pixels.numpy(), dtype=np.float32), indices)
        if not np.isfinite(found["score"]).all():
            raise NormscapeError("the artefact gave a score that is not a number; check the images")
        return found

    def _result(self, answer: dict[str, Any], declared: str | None) -> ImageScore:
        predicted = self.known[int(answer["category"])]
        known = declared in self._categories
        used = str(declared) if known else predicted
        return ImageScore(
            score=float(answer["score"]),
            map=answer["map"],
            declared=declared,
            predicted=predicted,
            category_distance=float(answer["category_distance"]),
            strangeness=float(answer["strangeness"]),
            category_p_value=float(answer["category_p_value"]),
            p_value_declared=float(answer["p_value"]) if known else None,
            p_value_predicted=float(answer["p_value_predicted"]),
            category=used,
            threshold=self._categories[used].threshold,
        )
