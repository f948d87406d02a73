"""Has the body of a category's scores moved away from the model's reference?"""

from normscape.drift.decide import CategoryDrift, DriftVerdicts, Verdict, decide
from normscape.drift.multiplicity import benjamini_hochberg
from normscape.drift.window import Window, assign, select_window

__all__ = [
    "CategoryDrift",
    "DriftVerdicts",
    "Verdict",
    "Window",
    "assign",
    "benjamini_hochberg",
    "decide",
    "select_window",
]
