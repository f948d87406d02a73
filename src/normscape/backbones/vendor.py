"""OpenVINO as a library that keeps to itself."""

from __future__ import annotations

import importlib
import sys
from typing import Any


def openvino() -> Any:
    """Import OpenVINO without its telemetry.

    Its mere import writes a client id into the user's home folder and reports to the vendor over
    the network, unless the telemetry package is absent: then it uses a stub of its own. None in
    `sys.modules` makes a package absent.
    """
    if "openvino" not in sys.modules:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    return importlib.import_module("openvino")
