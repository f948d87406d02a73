"""What a format is, and which module knows it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from normscape.backbones import BackboneIdentity
    from normscape.backbones.conversion import Converted
    from normscape.backbones.network import FeatureNetwork
    from normscape.export.graph import DetectorGraph
    from normscape.export.record import FormatName, Record
    from normscape.export.refining import RefinerRunner
    from normscape.refine.model import Refiner

Answers = dict[str, NDArray[Any]]
"""An array a name of `graph.OUTPUTS`, a row an image."""

MODULES = {"openvino": "openvino_ir", "onnx": "onnx_graph", "torch": "torch_program"}


@dataclass(frozen=True)
class Parts:
    """What an artefact is made of.

    Attributes:
        identity: Of the backbone, with the runtime and precision of the thresholds.
        network: Builds the torch network.
        converted: Gives the network that OpenVINO runs for the project's own scorer.
        detector: Everything after the backbone.
        refiner: A program of its own; None where the model has none.
    """

    identity: BackboneIdentity
    network: Callable[[], FeatureNetwork]
    converted: Callable[[], Converted]
    detector: DetectorGraph
    refiner: Refiner | None = None


class Runner(Protocol):
    """A loaded artefact."""

    def __call__(self, pixels: NDArray[np.float32], declared: NDArray[np.int64]) -> Answers:
        """Judge `(B, 3, S, S)` pixels in [0, 1] whose declared categories are `(B,)` or -1."""


class Format(Protocol):
    """What the module of a format offers."""

    PACKAGES: tuple[str, ...]

    @staticmethod
    def precision(identity: BackboneIdentity) -> str:
        """The arithmetic in which the artefact runs a backbone."""

    @staticmethod
    def write(folder: Path, parts: Parts) -> None:
        """Write the artefact's files, all but `export.json`."""

    @staticmethod
    def load(folder: Path, record: Record) -> Runner:
        """Read what `write` wrote, but the refiner."""

    @staticmethod
    def load_refiner(folder: Path) -> RefinerRunner:
        """Read the refiner that `write` wrote."""


def format_of(name: FormatName) -> Format:
    """The module of a format."""
    return cast("Format", importlib.import_module(f"normscape.export.formats.{MODULES[name]}"))
