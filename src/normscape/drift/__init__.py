"""Have a category's scores left their usual level, or more of them risen far above it?"""

from normscape.drift.decide import CategoryDrift, DefectRise, DriftVerdicts, Verdict, decide
from normscape.drift.history import History
from normscape.drift.reference import Reference
from normscape.drift.silence import Silence
from normscape.drift.window import Window, assign, select_window

__all__ = [
    "CategoryDrift",
    "DefectRise",
    "DriftVerdicts",
    "History",
    "Reference",
    "Silence",
    "Verdict",
    "Window",
    "assign",
    "decide",
    "select_window",
]
