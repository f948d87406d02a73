"""A catalogue that several files begin with."""

import pytest

from normscape.discovery.learn import discover

from .support import EYES, KINDS, NOTHING, PARAMS, many


@pytest.fixture(scope="session")
def learned():
    """A catalogue of three kinds, twelve images each."""
    flagged = many(KINDS, 12)
    return flagged, discover(EYES, flagged, NOTHING, PARAMS)
