"""Where the object is, as a segmenter sees it: SAM, or Grounded SAM, from files that a user has.

SAM (Kirillov et al., Segment Anything, ICCV 2023) is asked for what lies in the middle of a picture
and not in its corners. With Grounding DINO (Liu et al., ECCV 2024) beside it, it is asked for what
the boxes hold that a prompt in words has found (Ren et al., Grounded SAM, 2024).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from normscape.backbones import select_device
from normscape.errors import NormscapeError, UsageError
from normscape.files import sha256_file
from normscape.sections.production import DiscoveryParams

if TYPE_CHECKING:
    from PIL import Image

    Boxes = Sequence[Sequence[float]]

_SMALLEST = 0.02
_LARGEST = 0.95
_CORNER = 0.02
_BOX_SCORE = 0.3
_WORD_SCORE = 0.25
_SAM, _GROUNDING = "sam", "grounding-dino"
_READ = (".json", ".safetensors", ".txt")  # configuration, weights, vocabulary


class Segmenter:
    """Tells object from background in a picture, by itself.

    Args:
        sam: Folder of SAM's weights, as `transformers` writes them.
        grounding: Folder of Grounding DINO's; None: the middle of the picture is asked for.
        prompt: What Grounding DINO looks for.

    Attributes:
        identity: What decides its masks, as JSON values: the folders' SHA-256 and the prompt.

    Raises:
        UsageError: A folder holds no such weights, or `transformers` is not installed.
        NormscapeError: The weights are damaged.
    """

    def __init__(self, sam: Path, grounding: Path | None, prompt: str) -> None:
        folders = {_SAM: sam} | ({} if grounding is None else {_GROUNDING: grounding})
        self.identity: dict[str, str] = {
            kind: _checked(folder, kind) for kind, folder in folders.items()
        }
        library = _library()
        self._device = select_device()
        self._model, self._processor = _load(library.SamModel, library.SamProcessor, sam)
        self._model.to(self._device)
        self._boxes: Callable[[Image.Image], Boxes] | None = None
        if grounding is not None:
            self.identity["prompt"] = prompt
            self._boxes = _Grounding(library, grounding, prompt, self._device)

    @torch.inference_mode()
    def __call__(self, image: Image.Image) -> NDArray[np.bool_] | None:
        """The mask `(H, W)` of the object in an RGB picture; None where nothing is told apart."""
        boxes = None if self._boxes is None else self._boxes(image)
        if boxes is not None and not len(boxes):
            return None
        prompt = _middle(*image.size) if boxes is None else {"input_boxes": [boxes]}
        inputs = self._processor(images=image, return_tensors="pt", **prompt)
        numbers = {
            name: (value.float() if value.is_floating_point() else value).to(self._device)
            for name, value in inputs.items()
            if name not in ("original_sizes", "reshaped_input_sizes")
        }
        found = self._model(**numbers)
        (masks,) = self._processor.post_process_masks(
            found.pred_masks.cpu(), inputs["original_sizes"], inputs["reshaped_input_sizes"]
        )
        return _chosen(masks.numpy().astype(bool), found.iou_scores[0].float().cpu().numpy())


def open_segmenter(params: DiscoveryParams, root: Path) -> Segmenter | None:
    """The segmenter that is asked for; None where another prior is.

    Args:
        params: Section `discovery`.
        root: What relative folders are relative to.

    Raises:
        UsageError: A folder is missing or holds something else, or `transformers` is missing.
        NormscapeError: The weights are damaged.
    """
    if params.object_prior != "sam":
        return None
    if params.sam is None:
        raise UsageError(
            "discovery.object_prior is sam, but discovery.sam is null; expected the folder of SAM "
            "weights as Hugging Face transformers writes them (config.json, model.safetensors, "
            "preprocessor_config.json)"
        )
    grounding = None if params.grounding is None else root / params.grounding.expanduser()
    return Segmenter(root / params.sam.expanduser(), grounding, params.prompt)


class _Grounding:
    """Boxes of what a prompt names."""

    def __init__(self, library: Any, folder: Path, prompt: str, device: torch.device) -> None:
        self._model, self._processor = _load(
            library.GroundingDinoForObjectDetection, library.GroundingDinoProcessor, folder
        )
        self._model.to(device)
        self._device = device
        self._prompt = prompt.strip().lower().rstrip(".") + "."  # as it was trained with

    def __call__(self, image: Image.Image) -> Boxes:
        inputs = self._processor(images=image, text=self._prompt, return_tensors="pt")
        inputs = inputs.to(self._device)
        (found,) = self._processor.post_process_grounded_object_detection(
            self._model(**inputs), inputs["input_ids"], threshold=_BOX_SCORE,
            text_threshold=_WORD_SCORE, target_sizes=[image.size[::-1]],
        )  # fmt: skip
        boxes: list[list[float]] = found["boxes"].cpu().tolist()
        return boxes


def _middle(width: int, height: int) -> dict[str, Any]:
    """A point of the object in the middle, points of the background in the corners."""
    ends = (_CORNER, 1 - _CORNER)
    shares = [(0.5, 0.5), *((x, y) for x in ends for y in ends)]
    points = [[x * width, y * height] for x, y in shares]
    return {"input_points": [[points]], "input_labels": [[[1, 0, 0, 0, 0]]]}


def _chosen(masks: NDArray[np.bool_], scores: NDArray[np.floating]) -> NDArray[np.bool_] | None:
    """All objects together, each by the mask `(P, 3, H, W)` that SAM believes in most `(P, 3)`.

    A mask of next to nothing, or of next to everything, is none.
    """
    shares = masks.mean((2, 3))
    scores = np.where((shares >= _SMALLEST) & (shares <= _LARGEST), scores, -np.inf)
    kept = [
        own[best]
        for own, best, score in zip(masks, scores.argmax(1), scores.max(1), strict=True)
        if np.isfinite(score)
    ]
    if not kept:
        return None
    together: NDArray[np.bool_] = np.any(kept, axis=0)
    return together if together.mean() <= _LARGEST else None


def _checked(folder: Path, kind: str) -> str:
    """SHA-256 of a folder's weights and of all that decides how they are used.

    Raises:
        UsageError: It holds no weights of this kind, or only pickled ones.
    """
    expected = (
        f"expected a folder with config.json of model_type {kind} and model.safetensors, as "
        "Hugging Face transformers writes them"
    )
    config = folder / "config.json"
    if not config.is_file():
        raise UsageError(f"{folder} has no config.json; {expected}")
    try:
        found = json.loads(config.read_text(encoding="utf-8"))["model_type"]
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{config} cannot be read ({error}); {expected}") from None
    if found != kind:
        raise UsageError(f"{config} is of model_type {found}; {expected}")
    if not any(folder.glob("*.safetensors")):
        raise UsageError(
            f"{folder} has no *.safetensors; {expected} (pickled weights are never read)"
        )
    files = [path for suffix in _READ for path in sorted(folder.glob(f"*{suffix}"))]
    return hashlib.sha256("".join(map(sha256_file, files)).encode()).hexdigest()


def _library() -> Any:
    try:
        import transformers
    except ImportError:
        raise UsageError(
            "discovery.object_prior is sam, which needs the package transformers; install "
            "normscape with its extra 'sam'"
        ) from None
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    return transformers


def _load(model: Any, processor: Any, folder: Path) -> tuple[Any, Any]:
    """A network and what prepares its input, from files alone, without pickle."""
    try:
        network, found = model.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
        prepare = processor.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # whatever a damaged file makes the library raise
        words = " ".join(str(error).split())[:200]
        raise NormscapeError(
            f"the weights in {folder} cannot be used ({words}); restore them"
        ) from None
    if missing := sorted(found["missing_keys"]):
        raise NormscapeError(f"the weights in {folder} lack {', '.join(missing[:3])}; restore them")
    return network.eval().requires_grad_(False), prepare
