"""What a table says about a version."""

from __future__ import annotations

from typing import Any

from normscape.registry.bundle import Bundle


def figures_of(bundle: Bundle) -> dict[str, Any]:
    """Time of making, gate, mean metrics, categories, data and code version of a bundle.

    Raises:
        BundleError: One of its parts does not hold what its name says.
    """
    return {
        "made": bundle.created,
        "gate": "passed" if bundle.gate.passed else "failed",
        "mean": bundle.metrics.get("mean", {}),
        "categories": list(bundle.categories),
        "data": bundle.data_version,
        "code": bundle.provenance.code.describe(),
    }
