"""A bundle as one artefact that other runtimes run: network, detector, calibration; measured."""

from normscape.export.exported import Exported

__all__ = ["Exported"]
