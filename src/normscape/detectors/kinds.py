"""The detectors that can be chosen, by name: the one place that knows them all."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, get_args

from normscape.detectors.config import DetectorConfig
from normscape.params import Params
from normscape.sections.model import DetectorName

if TYPE_CHECKING:
    from normscape.detectors.base import Kind

NAMES: tuple[str, ...] = get_args(DetectorName)
"""Each is a package beside this file with a `config.py` (`CONFIG`) and a `kind.py` (`KIND`)."""


def config_of(name: str) -> type[DetectorConfig]:
    """The configuration of a detector; imports nothing heavy.

    Raises:
        ValueError: There is no such detector.
    """
    config: type[DetectorConfig] = _package(name, "config").CONFIG
    return config


def kind_of(name: str) -> Kind[Any]:
    """All that is needed to train, score with and export a detector.

    Raises:
        ValueError: There is no such detector.
    """
    kind: Kind[Any] = _package(name, "kind").KIND
    return kind


def hold_out_percent(params: Params) -> int:
    """How much of the train split is held out of learning: nothing where nothing is trained."""
    trains = kind_of(params.detector.name).trains(params)
    return params.prototypes.hold_out_percent if trains else 0


def _package(name: str, module: str) -> Any:
    if name not in NAMES:
        raise ValueError(f"unknown detector '{name}', expected one of {', '.join(NAMES)}")
    return import_module(f"{__package__}.{name}.{module}")
