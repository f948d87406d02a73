from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from normscape.errors import DataError, NormscapeError
from normscape.scoring.array import read_map, write_map
from normscape.scoring.result import ImageScore


def score(map_: np.ndarray) -> ImageScore:
    return ImageScore(
        score=0.1 + 0.2, map=map_.astype(np.float32), declared=None, predicted="brick",
        category_distance=1.0, strangeness=1.0, category_p_value=0.5,
        p_value_declared=None, p_value_predicted=0.01, category="bräu", threshold=1 / 3,
    )  # fmt: skip


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_raw_values_are_read_back(tmp_path: Path, scale: float) -> None:
    map_ = np.random.default_rng(0).gamma(2.0, scale, (96, 96)).astype(np.float32) - scale
    write_map(tmp_path / "maps" / "a.png", score(map_), "v0007")
    found = read_map(tmp_path / "maps" / "a.png")
    assert np.abs(found.values - map_).max() <= 0.5000001 * found.step
    assert found.step == pytest.approx(np.ptp(map_) / 65535, rel=1e-3)
    assert (found.score, found.threshold) == (0.1 + 0.2, 1 / 3)
    assert (found.category, found.model_version) == ("bräu", "v0007")


def test_other_programs_see_a_16_bit_picture(tmp_path: Path) -> None:
    write_map(tmp_path / "a.png", score(np.linspace(0, 1, 64).reshape(8, 8)), "v0001")
    with Image.open(tmp_path / "a.png") as image:
        levels = np.asarray(image)
    assert (levels.dtype, levels.min(), levels.max()) == (np.uint16, 0, 65535)


def test_a_flat_map_is_read_back(tmp_path: Path) -> None:
    write_map(tmp_path / "a.png", score(np.full((8, 8), 2.5)), "v0001")
    assert (read_map(tmp_path / "a.png").values == 2.5).all()


def test_what_is_no_map_is_named(tmp_path: Path) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"text")
    for name in ("a.png", "b.png", "c.png"):
        with pytest.raises(DataError, match=f"{name} is not a map"):
            read_map(tmp_path / name)
    (tmp_path / "file").write_text("")
    with pytest.raises(NormscapeError, match="cannot write"):
        write_map(tmp_path / "file" / "a.png", score(np.zeros((4, 4))), "v0001")
