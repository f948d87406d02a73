"""Where the data are, and what they must satisfy."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from normscape.sections.base import Count, Section, Share


class PathParams(Section):
    """Where things are, relative to the folder of `params.yaml`."""

    data: Path = Path("data")
    artifacts: Path = Path("artifacts")
    state: Path = Path(".normscape")


class ManifestParams(Section):
    """How folders become rows, and train normals become train and calibration."""

    layout: Literal["auto", "mvtec", "visa", "realiad", "folder"] = "auto"
    group_pattern: str | None = None
    calibration_percent: Annotated[int, Field(ge=1, le=50)] = 20
    calibration_min_images: Count = 12

    @field_validator("group_pattern")
    @classmethod
    def _names_a_group(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            pattern = re.compile(value)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
        if "group" not in pattern.groupindex:
            raise ValueError("expected a named group (?P<group>...)")
        return value


class ValidateParams(Section):
    """What a data set must satisfy before anything is trained on it."""

    min_side: Count = 32
    min_train: Count = 8
    min_calibration: Count = 4
    min_test_normal: Annotated[int, Field(ge=0)] = 1
    max_empty_mask_share: Share = 0.02
