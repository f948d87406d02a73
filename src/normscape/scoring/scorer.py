"""A bundle made ready to judge images on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from normscape.backbones import Backbone, BackboneIdentity, load_identity, select_device
from normscape.backbones.runtime import resolve
from normscape.calibration.calibrator import Calibration
from normscape.errors import NormscapeError, UsageError
from normscape.features.preprocess import to_batch
from normscape.novelty.inspector import Inspection, Inspector
from normscape.refine.apply import refined
from normscape.refine.model import Refiner
from normscape.registry.bundle import Bundle
from normscape.scoring.result import ImageScore
from normscape.tiling.grid import Grid
from normscape.tiling.tiled import judge_tiles


class Scorer:
    """Backbone, model and calibration of one bundle, on the runtime they were calibrated for.

    Args:
        backbone: The model's.
        model: It is moved to the machine's device.
        calibration: Of the model.
        refiner: Sharpens the maps of images that stand out; None: they stay as they are.
    """

    def __init__(
        self,
        backbone: Backbone,
        model: Inspector,
        calibration: Calibration,
        refiner: Refiner | None = None,
    ) -> None:
        self._device = select_device()
        self._backbone = backbone
        self._model = model.to(self._device).eval()
        self._refiner = None if refiner is None else refiner.to(self._device).eval()
        self.calibration = calibration

    @classmethod
    def open(
        cls,
        bundle: Bundle,
        *,
        runtime: str | None = None,
        precision: str | None = None,
        root: Path = Path(),
        cache: Path | None = None,
    ) -> Scorer:
        """Make a bundle ready to score.

        Args:
            bundle: A verified bundle.
            runtime: Insist on this runtime; the bundle's when None.
            precision: Insist on this precision; the bundle's when None.
            root: The folder that a weights file is relative to.
            cache: Where fetched weights and converted networks are kept; None: the user's cache.

        Raises:
            UsageError: Another runtime or precision than the bundle's was asked for.
            NormscapeError: This machine cannot run the bundle's runtime, or the weights differ.
        """
        identity = bundle.identity
        own = (identity.runtime, identity.precision)
        if (runtime or own[0], precision or own[1]) != own:
            asked = [name for name in (runtime, precision) if name]
            raise UsageError(
                f"the model's thresholds hold for {own[0]} in {own[1]} and do not carry over to "
                f"{' in '.join(asked)}; {_recalibrate(runtime, precision)}"
            )
        model, calibration = bundle.model, bundle.calibration
        if missing := set(model.categories) - set(calibration.categories):
            raise NormscapeError(
                f"{bundle.folder}: the calibration lacks {', '.join(sorted(missing))}, which the "
                "model knows; expected one threshold per category, use another version"
            )
        if (model.novelty is None) != (calibration.strangeness is None):
            raise NormscapeError(
                f"{bundle.folder}: of the model's novelty part and the strangeness of its "
                "calibration images one is missing; expected both or neither, use another version"
            )
        return cls(_open_backbone(identity, root, cache), model, calibration, bundle.refiner)

    @property
    def identity(self) -> BackboneIdentity:
        """What the backbone is and how it runs."""
        return self._backbone.identity

    @property
    def known(self) -> tuple[str, ...]:
        """The categories that the model knows, in its order."""
        return self._model.categories

    def score(
        self, images: Sequence[Image.Image], declared: Sequence[str | None] | None = None
    ) -> list[ImageScore]:
        """Score decoded RGB images of any size.

        Args:
            images: The images; all of them are in memory at once.
            declared: The category of each that the line gives; None for all when left out.
        """
        names = declared or [None] * len(images)
        if any(self.cuts(image.width, image.height) for image in images):
            return [self._score_one(*one) for one in zip(images, names, strict=True)]
        if not images:
            return []
        return self.score_batch(to_batch(images, self.identity.input_size), names)

    def _score_one(self, image: Image.Image, declared: str | None) -> ImageScore:
        if self.cuts(image.width, image.height):
            return self.score_large(image, declared)
        return self.score_batch(to_batch([image], self.identity.input_size), [declared])[0]

    def cuts(self, width: int, height: int) -> bool:
        """Whether an image of so many pixels is scored by `score_large`, tile by tile."""
        return self.calibration.tiling.cuts(width, height)

    def score_large(
        self, image: Image.Image, declared: str | None, *, batch_size: int = 16
    ) -> ImageScore:
        """Score an RGB image that is cut into tiles, as the calibration was made.

        Its map has the resolution of the tiles already and is not refined.

        Args:
            image: The image.
            declared: The category that the line gives, or None.
            batch_size: Tiles at once; the score does not depend on it.
        """
        grid = Grid.of(image.width, image.height, self.calibration.tiling)
        prediction = judge_tiles(image, grid, self._backbone, self._model, batch_size)
        (result,) = self._results(prediction, [declared])
        row, column = np.unravel_index(result.map.argmax(), result.map.shape)
        x, y = (int((index + 0.5) * grid.cell) for index in (column, row))
        return replace(result, peak=(min(x, image.width - 1), min(y, image.height - 1)))

    @torch.inference_mode()
    def score_batch(self, pixels: torch.Tensor, declared: Sequence[str | None]) -> list[ImageScore]:
        """Score one batch `(B, 3, S, S)` in [0, 1] whose images have `declared` categories.

        Raises:
            UsageError: `pixels` and `declared` differ in length.
        """
        if len(declared) != len(pixels):
            raise UsageError(
                f"{len(pixels)} images but {len(declared)} declared categories; expected one each"
            )
        maps = [level.to(self._device) for level in self._backbone(pixels)]
        prediction = self._model(maps)
        if self._refiner is not None:
            prediction = refined(self._refiner, pixels, prediction, self._p_predicted(prediction))
        return self._results(prediction, declared)

    def _p_predicted(self, prediction: Inspection) -> NDArray[np.float64]:
        names = [self.known[index] for index in prediction.category.tolist()]
        return self.calibration.p_value(prediction.score.double().cpu().numpy(), names)

    def _results(self, prediction: Inspection, declared: Sequence[str | None]) -> list[ImageScore]:
        scores = prediction.score.double().cpu().numpy()
        distances = prediction.category_distance.double().cpu().numpy()
        strangeness = prediction.strangeness.double().cpu().numpy()
        grids = prediction.map.float().cpu().numpy()
        predicted = [self.known[index] for index in prediction.category.tolist()]
        used = [
            name if name in self.known else guess
            for name, guess in zip(declared, predicted, strict=True)
        ]
        p_used = self.calibration.p_value(scores, used)
        p_predicted = self._p_predicted(prediction)
        p_category = self.calibration.category_p_value(strangeness)
        return [
            ImageScore(
                score=float(scores[i]),
                map=grids[i],
                declared=declared[i],
                predicted=predicted[i],
                category_distance=float(distances[i]),
                strangeness=float(strangeness[i]),
                category_p_value=float(p_category[i]),
                p_value_declared=float(p_used[i]) if declared[i] in self.known else None,
                p_value_predicted=float(p_predicted[i]),
                category=str(used[i]),
                threshold=self.calibration.threshold(str(used[i])),
            )
            for i in range(len(declared))
        ]


def _open_backbone(identity: BackboneIdentity, root: Path, cache: Path | None) -> Backbone:
    try:
        resolve(identity.runtime, identity.precision)
    except (UsageError, ImportError) as error:
        best = resolve("auto", "auto")[0]
        raise NormscapeError(
            f"the model's thresholds hold for {identity.runtime} in {identity.precision}, which "
            f"this machine cannot run ({error}), and do not carry over; {_recalibrate(best, None)}"
        ) from error
    return load_identity(
        identity, runtime=identity.runtime, precision=identity.precision, root=root, cache=cache
    )


def _recalibrate(runtime: str | None, precision: str | None) -> str:
    options = (f" --runtime {runtime}" if runtime else "") + (
        f" --precision {precision}" if precision else ""
    )
    return f"to fit new ones without training again, run `normscape recalibrate{options}`"
