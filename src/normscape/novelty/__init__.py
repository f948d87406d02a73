"""Is a product unknown? One image's strangeness, and the decision over a group."""

from normscape.novelty.counts import strange_level
from normscape.novelty.groups import Source, UnknownGroup, UnknownVerdict
from normscape.novelty.unknown import find_unknown

__all__ = ["Source", "UnknownGroup", "UnknownVerdict", "find_unknown", "strange_level"]
