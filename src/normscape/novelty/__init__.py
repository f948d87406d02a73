"""Has a product arrived that the model does not know?"""

from normscape.novelty.unknown import (
    Source,
    UnknownGroup,
    UnknownVerdict,
    find_unknown,
    strange_level,
)

__all__ = ["Source", "UnknownGroup", "UnknownVerdict", "find_unknown", "strange_level"]
