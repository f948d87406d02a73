"""All families, in the order in which category indices visit them."""

from __future__ import annotations

import math

from normscape.data.synth import assemblies, objects, prints, surfaces, textures
from normscape.data.synth.product import Family

_ALIGNED, _LOOSE, _FREE = 0.03, 0.12, math.pi

FAMILIES: dict[str, Family] = {
    "weave": Family(surfaces.weave, _ALIGNED, structured=True),
    "gear": Family(objects.gear, _FREE, parts=True, edged=True),
    "label": Family(prints.label, _ALIGNED, structured=True, parts=True),
    "stone": Family(textures.stone, _FREE),
    "board": Family(assemblies.board, _ALIGNED, structured=True, parts=True),
    "knurl": Family(surfaces.knurl, _ALIGNED, structured=True),
    "cap": Family(objects.cap, _FREE, parts=True, edged=True),
    "motifs": Family(prints.motifs, _LOOSE, structured=True, parts=True),
    "wood": Family(textures.wood, _ALIGNED),
    "connector": Family(assemblies.connector, _ALIGNED, parts=True, edged=True),
    "brushed": Family(surfaces.brushed, _ALIGNED),
    "capsule": Family(objects.capsule, _LOOSE, parts=True, edged=True),
    "keys": Family(prints.keys, _ALIGNED, structured=True, parts=True),
    "leather": Family(textures.leather, _FREE),
    "blister": Family(assemblies.blister, _ALIGNED, structured=True, parts=True),
    "perforated": Family(surfaces.perforated, _LOOSE, structured=True, parts=True),
    "flange": Family(objects.flange, _LOOSE, parts=True, edged=True),
    "dial": Family(prints.dial, _ALIGNED, parts=True, edged=True),
    "marble": Family(textures.marble, _FREE),
    "tray": Family(assemblies.tray, _ALIGNED, structured=True, parts=True),
    "tiles": Family(surfaces.tiles, _ALIGNED, structured=True, parts=True),
    "bolt": Family(objects.bolt, _LOOSE, edged=True),
    "stripes": Family(prints.stripes, _LOOSE, structured=True),
    "terrazzo": Family(textures.terrazzo, _FREE),
    "cable": Family(objects.cable, _LOOSE, parts=True, edged=True),
    "turned": Family(surfaces.turned, _FREE),
    "biscuit": Family(objects.biscuit, _LOOSE, parts=True, edged=True),
}
"""By name; any five in a row are of at least three kinds."""
