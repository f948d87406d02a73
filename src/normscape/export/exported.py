"""A written artefact, ready to judge images like the scorer it was made from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from normscape.errors import NormscapeError, UsageError
from normscape.export.formats.base import Answers, Runner, format_of
from normscape.export.record import Record
from normscape.scoring.result import ImageScore

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from normscape.export.refining import RefinerRunner


class Exported:
    """An artefact of `normscape models export`; only its own runtime is imported.

    Args:
        record: What `export.json` says.
        run: Its loaded graph.
        refine: Its loaded refiner; None where it has none.
    """

    def __init__(self, record: Record, run: Runner, refine: RefinerRunner | None = None) -> None:
        self.record = record
        self._run = run
        self._refine = refine
        self._categories = {item.name: item for item in record.categories}

    @classmethod
    def load(cls, folder: Path) -> Exported:
        """Verify every checksum and load the graph.

        Raises:
            UsageError: There is no artefact in the folder.
            NormscapeError: It is damaged, or this machine cannot run it.
        """
        record = Record.load(folder)
        form = format_of(record.kind)
        refine = None if record.refine is None else form.load_refiner(folder)
        return cls(record, form.load(folder, record), refine)

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
        """What the graphs themselves say of a batch, under the names of the scorer's outputs.

        Raises:
            NormscapeError: A score is not finite.
        """
        position = {name: index for index, name in enumerate(self.known)}
        indices = np.array([position.get(name or "", -1) for name in declared], dtype=np.int64)
        values = np.ascontiguousarray(pixels.numpy(), dtype=np.float32)
        found = self._run(values, indices)
        if not np.isfinite(found["score"]).all():
            raise NormscapeError("the artefact gave a score that is not a number; check the images")
        self._sharpen(values, found)
        return found

    def _sharpen(self, pixels: NDArray[np.float32], found: Answers) -> None:
        """Refine the maps of images that stand out, in place."""
        if self._refine is None or self.record.refine is None:
            return
        maps = np.array(found["map"])
        for row in np.flatnonzero(found["p_value_predicted"] <= self.record.refine["max_p"]):
            one = slice(row, row + 1)
            maps[one] = self._refine(pixels[one], maps[one], found["category"][one])
        found["map"] = maps

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
