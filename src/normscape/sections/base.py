"""What sections of `params.yaml` are made of."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from normscape.errors import UsageError
from normscape.storage.location import SCHEME, S3Location

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Probability = Annotated[float, Field(gt=0.0, lt=1.0)]
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0.0)]


class Section(BaseModel):
    """A section of `params.yaml`: immutable, and no unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def checked_place(place: str | Path | None) -> str | Path | None:
    """A folder as it is, or a good address of an object store."""
    try:
        if str(place).startswith(SCHEME):
            S3Location.parse(str(place))
    except UsageError as error:
        raise ValueError(str(error)) from None
    return place
