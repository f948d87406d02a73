"""The photographs that the packages ship, checked against the hashes this demo was made from."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from normscape.data.demo.pixels import Grey
from normscape.errors import DataError, NormscapeError
from normscape.files import sha256_file

TEXTURES = {
    "brick": "7966caf324f6ba843118d98f7a07746d22f6a343430add0233eca5f6eaaa8fcf",
    "gravel": "c48615b451bf1e606fbd72c0aa9f8cc0f068ab7111ef7d93bb9b0f2586440c12",
    "grass": "b6b6022426b38936c43a4ac09635cd78af074e90f42ffa8227ac8b7452d39f89",
}
"""SHA-256 of the texture photographs of scikit-image (512, 512)."""

_LABELS = "0abe6fe7700aea571717d7d7dfec005a47c6207b4cde26a4556b6807a115483d"


@dataclass(frozen=True)
class SolarCells:
    """Electroluminescence photographs of one type of solar cell, sorted by name.

    Attributes:
        normal: Cells with a defect probability of 0.
        defective: Cells with a defect probability of 1; those in between are left out.
    """

    normal: tuple[Path, ...]
    defective: tuple[Path, ...]


def texture(name: str) -> Grey:
    """Return a texture photograph of scikit-image (512, 512).

    Raises:
        NormscapeError: scikit-image is not installed.
        DataError: It ships another photograph.
    """
    path = _package_folder("skimage", "pip install scikit-image") / "data" / f"{name}.png"
    _check(path, TEXTURES[name], "scikit-image")
    return read_grey(path)


def solar_cells(kind: Literal["mono", "poly"]) -> SolarCells:
    """List the cells of one type from the package `elpv-dataset`.

    Raises:
        NormscapeError: The package is not installed.
        DataError: It ships other labels.
    """
    folder = _package_folder("elpv_dataset", "pip install normscape[demo]") / "data"
    _check(folder / "labels.csv", _LABELS, "elpv-dataset")
    chosen: dict[float, list[Path]] = {0.0: [], 1.0: []}
    for line in (folder / "labels.csv").read_text(encoding="utf-8").splitlines():
        name, probability, cell_type = line.split()
        if cell_type == kind and float(probability) in chosen:
            chosen[float(probability)].append(folder / name)
    return SolarCells(tuple(sorted(chosen[0.0])), tuple(sorted(chosen[1.0])))


def read_grey(path: Path) -> Grey:
    """Decode a picture to 8-bit grey; lossless for the grey PNG files used here."""
    with Image.open(path) as image:
        return np.asarray(image.convert("L"))


def _package_folder(module: str, remedy: str) -> Path:
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise NormscapeError(
            f"the demo's photographs come from the package '{module}', which is not installed; "
            f"run: {remedy}"
        )
    return Path(spec.submodule_search_locations[0])


def _check(path: Path, expected: str, package: str) -> None:
    found = sha256_file(path) if path.is_file() else "no such file"
    if found != expected:
        raise DataError(
            f"{path}: expected the file with sha256 {expected[:12]}…, found {found[:12]}…; "
            f"this release of {package} ships other photographs, install the locked one"
        )
