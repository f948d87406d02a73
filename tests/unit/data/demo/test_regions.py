import numpy as np
import pytest

from normscape.data.demo.draws import Draws
from normscape.data.demo.regions import CROP, GRID, REGION, Cropper, roles

SHARES = {"train": (0, 2, 4, 6), "test": (3,), "feed": (1, 5)}


@pytest.fixture
def coordinates() -> np.ndarray:
    """A picture whose pixels tell their region."""
    rows, columns = np.mgrid[:512, :512] // REGION
    return (np.minimum(rows, GRID) * 10 + np.minimum(columns, GRID)).astype(np.uint8)


def test_roles_share_no_region_and_leave_none_out():
    dealt = roles(SHARES)
    everything = [region for regions in dealt.values() for region in regions]
    assert sorted(everything) == list(range(GRID * GRID))


def test_every_role_visits_every_row_and_column():
    for regions in roles(SHARES).values():
        assert {region // GRID for region in regions} == set(range(GRID))
        assert {region % GRID for region in regions} == set(range(GRID))


def test_a_crop_stays_inside_its_region(coordinates):
    cropper = Cropper("brick", coordinates, roles(SHARES))
    for crop in cropper.take("feed", "day", 60):
        row, column = (int(digit) - 1 for digit in crop.name.split("-r")[1][:2])
        region = row * GRID + column
        assert region in roles(SHARES)["feed"]
        assert crop.pixels.shape == (CROP, CROP)
        assert set(np.unique(crop.pixels)) == {region // GRID * 10 + region % GRID}


def test_no_crop_is_taken_twice_and_regions_take_turns(coordinates):
    photograph = np.random.default_rng(0).integers(0, 256, (512, 512), dtype=np.uint8)
    cropper = Cropper("brick", photograph, roles(SHARES))
    crops = cropper.take("test", "good", 60) + cropper.take("test", "good again", 60)
    assert len({crop.pixels.tobytes() for crop in crops}) == 120
    assert len({crop.name for crop in crops}) == 120
    visits = [crop.name[:9] for crop in crops]
    assert {visits.count(group) for group in set(visits)} <= {16, 17, 18}


def test_a_piece_comes_from_the_regions_of_its_role(coordinates):
    cropper = Cropper("brick", coordinates, roles(SHARES))
    allowed = {region // GRID * 10 + region % GRID for region in roles(SHARES)["test"]}
    draws = Draws("pieces")
    for _ in range(20):
        assert set(np.unique(cropper.piece("test", draws))) <= allowed
