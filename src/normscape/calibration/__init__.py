"""Per-category thresholds and conformal p-values from few held-out normal images."""

from normscape.calibration.calibrator import (
    Calibration,
    CategoryCalibration,
    fit_calibration,
)

__all__ = ["Calibration", "CategoryCalibration", "fit_calibration"]
