"""The scale set: synthetic product categories, as many as a test of scale needs."""

from normscape.data.synth.build import ScaleSet, build_scale_set

VERSION = 1
"""Of what is drawn. A change of any pixel is a new version, and makes old results void."""

__all__ = ["VERSION", "ScaleSet", "build_scale_set"]
