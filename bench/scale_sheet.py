"""A contact sheet of a scale set: of each category a normal picture and one with its defect ringed.

normscape data synth --categories 30 --train 1 --test-normal 1 --test-anomalous 6 --out /tmp/set
python -m bench.scale_sheet /tmp/set docs/images/scale-set.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from normscape.files import atomic_path

COLUMNS = 6
SIDE = 96
RING = np.array([255, 32, 32], dtype=np.uint8)


def main() -> None:
    """Write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="the scale set, all categories tested")
    parser.add_argument("out", type=Path, help="the PNG file to write")
    arguments = parser.parse_args()
    pairs = [
        _pair(category, index) for index, category in enumerate(sorted(arguments.folder.iterdir()))
    ]
    while len(pairs) % COLUMNS:
        pairs.append(np.full_like(pairs[0], 255))
    rows = [np.hstack(pairs[start : start + COLUMNS]) for start in range(0, len(pairs), COLUMNS)]
    sheet = Image.fromarray(np.vstack(rows)).quantize(256, kmeans=1)
    with atomic_path(arguments.out) as temporary:
        sheet.save(temporary, optimize=True)


def _pair(category: Path, index: int) -> NDArray[np.uint8]:
    """A normal and a defective picture side by side, framed in white; the kinds take turns."""
    kinds = sorted(folder.name for folder in (category / "ground_truth").iterdir())
    kind = kinds[index % len(kinds)]
    normal = Image.open(category / "train" / "good" / "000.png")
    defective = np.array(Image.open(category / "test" / kind / "000.png"))
    mask = np.asarray(Image.open(category / "ground_truth" / kind / "000_mask.png")) > 0
    inner = ndimage.binary_dilation(mask, iterations=4)
    defective[ndimage.binary_dilation(inner, iterations=3) & ~inner] = RING
    small = [
        np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS))
        for picture in (normal, Image.fromarray(defective))
    ]
    return np.pad(np.hstack(small), ((2, 2), (3, 3), (0, 0)), constant_values=255)


if __name__ == "__main__":
    main()
