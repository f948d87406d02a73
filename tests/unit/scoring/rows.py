"""Rows of the score log for tests; also imported by the processes that tests start."""

from datetime import UTC, datetime
from typing import Any

import pandas as pd

from normscape.scoring.schema import SCHEMA

DAY, VERSION = "2026-03-14", "v0001"


def row(number: int, **changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = dict.fromkeys(SCHEMA.names)
    values |= {
        "path": f"feed/{DAY}/brick/{number:03d}.png",
        "sha256": f"{number:064x}",
        "day": DAY,
        "declared_category": "brick",
        "predicted_category": "brick",
        "score": float(number),
        "flagged": number % 2 == 0,
        "model_version": VERSION,
        "scored_at": datetime(2026, 3, 14, 12, 0, tzinfo=UTC),
    }
    return values | changes


def frame(*rows: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(list(rows))[SCHEMA.names]
