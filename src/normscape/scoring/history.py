"""The daily figures of one model version, read from the score log a day at a time."""

from __future__ import annotations

from collections.abc import Iterable

from normscape.drift import History, Reference, assign, select_window
from normscape.novelty import strange_level
from normscape.params import Params
from normscape.registry.bundle import Bundle
from normscape.scoring import log
from normscape.scoring.paths import score_log

COLUMNS = (
    "sha256", "declared_category", "predicted_category", "category_p_value", "score", "flagged",
    "error", "runtime", "precision", "mean_intensity", "std_intensity", "sharpness",
)  # fmt: skip


def read_history(
    params: Params,
    days: Iterable[str],
    version: str,
    bundle: Bundle,
    reference: Reference,
) -> History:
    """The figures of days of a model version; the rows of one day are in memory at a time.

    Args:
        params: The project.
        days: Which, in any order; one without images counts as a day without images.
        version: The model version.
        bundle: Of that version.
        reference: Of the bundle.

    Raises:
        NormscapeError: The log is damaged.
    """
    store, calibration = score_log(params), bundle.calibration
    level, _ = strange_level(params.score.category_alpha, len(calibration.distances))
    history = History(reference, params.monitor.min_images)
    for day in sorted(set(days)):
        rows = log.read(store, days=day, model_version=version, columns=COLUMNS, ordered=False)
        frame = select_window(
            rows, (day,), runtime=calibration.runtime, precision=calibration.precision
        ).frame
        history.add(day, frame.assign(category=assign(frame, bundle.categories, level)))
    return history
