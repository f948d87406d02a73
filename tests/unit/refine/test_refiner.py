"""The parts of the refiner: masks, fusion, network, files."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from normscape.errors import NormscapeError, UsageError
from normscape.refine.fusion import GUIDES, Fusion, averages, solve
from normscape.refine.inpainting import hide
from normscape.refine.masks import grids, random_mask
from normscape.refine.model import CONFIG, TENSORS, Refiner, RefinerConfig, open_refiner
from normscape.sections.model import RefineParams

NAMES = ("bolt", "nut")


def refiner(seed: int = 0, max_p: float = 0.1) -> Refiner:
    """An untrained one whose answers are not 0."""
    torch.manual_seed(seed)
    params = RefineParams(size=32, width=8, cells=(4, 8), times=(0.5, 1.0), max_p=max_p)
    built = Refiner(RefinerConfig.of(params, NAMES, input_size=64, map_size=48))
    for parameter in built.parameters():
        parameter.data.normal_(std=0.2)
    return built.eval().requires_grad_(False)


def inputs(count: int, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    pixels = torch.rand(count, 3, 64, 64, generator=draw)
    maps = torch.rand(count, 48, 48, generator=draw) + 0.5
    return pixels, maps, torch.arange(count) % len(NAMES)


def test_every_pixel_is_hidden_once_for_each_size_of_cells() -> None:
    masks = grids(32, (4, 8, 16))
    assert masks.shape == (6, 1, 32, 32)
    for pair in masks.split(2):
        assert torch.equal(pair.sum(dim=0), torch.ones(1, 32, 32))


def test_a_random_mask_hides_some_pixels_and_depends_on_its_generator_alone() -> None:
    def draw(seed: int) -> torch.Tensor:
        return random_mask(32, (4, 8), torch.Generator().manual_seed(seed))

    for seed in range(12):
        assert 0.0 < draw(seed).mean() < 1.0
        assert set(draw(seed).unique().tolist()) == {0.0, 1.0}
        assert torch.equal(draw(seed), draw(seed))


def test_known_pixels_stay_and_nothing_is_left_of_the_hidden_ones_at_the_end() -> None:
    draw = torch.Generator().manual_seed(0)
    image, noise = torch.rand(2, 1, 3, 32, 32, generator=draw)
    mask = grids(32, (8,))[:1]
    for time in (0.3, 1.0):
        noised = hide(image, noise, mask, torch.tensor([time]))
        assert torch.equal(noised * (1 - mask), image * (1 - mask))
    torch.testing.assert_close(noised * mask, noise * mask, atol=1e-6, rtol=0)


def test_averages_keep_the_mean() -> None:
    line = torch.rand(64)
    for size in (16, 48, 64):
        matrix = averages(64, size)
        torch.testing.assert_close(matrix.sum(dim=1), torch.ones(size))
    torch.testing.assert_close((averages(64, 16) @ line).mean(), line.mean())


def blurred(size: int, wide: float) -> torch.Tensor:
    place = torch.arange(size) - size / 2
    line = torch.exp(-0.5 * (place / wide) ** 2)
    return line.unsqueeze(1) * line


def errors_at(place: slice, sign: float = 1.0) -> torch.Tensor:
    """Errors of a square, and a little noise everywhere."""
    errors = 0.01 * torch.randn(1, GUIDES, 64, 64, generator=torch.Generator().manual_seed(0))
    errors[:, :3, place, place] += sign
    errors[:, 3] = errors[:, :3].square().mean(dim=1)
    return errors


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_map_is_sharpened_where_the_errors_are(sign: float) -> None:
    fusion = Fusion(map_size=128, size=64, strength=1.0)
    base = (1.0 + blurred(128, 16.0)).unsqueeze(0)
    sharp = fusion(base, errors_at(slice(28, 36), sign))
    inside, halo = slice(58, 70), slice(30, 44)

    def contrast(maps: torch.Tensor) -> float:
        return float(maps[0, inside, inside].mean() / maps[0, halo, inside].mean())

    assert contrast(sharp) > 1.1 * contrast(base)


def test_errors_that_say_nothing_leave_the_map_as_it_is_but_smoother() -> None:
    fusion = Fusion(map_size=128, size=64, strength=1.0)
    base = (1.0 + blurred(128, 16.0)).unsqueeze(0)
    for errors in (torch.zeros(1, GUIDES, 64, 64), torch.full((1, GUIDES, 64, 64), 0.3)):
        torch.testing.assert_close(fusion(base, errors), base, rtol=0.08, atol=0)
    flat = torch.full((1, 128, 128), 2.0)
    torch.testing.assert_close(fusion(flat, errors_at(slice(28, 36))), flat, rtol=1e-3, atol=0)


def test_the_scale_of_a_map_and_of_the_errors_does_not_matter() -> None:
    fusion = Fusion(map_size=48, size=32, strength=1.0)
    draw = torch.Generator().manual_seed(3)
    base = torch.rand(2, 48, 48, generator=draw) + 0.1
    errors = torch.rand(2, GUIDES, 32, 32, generator=draw)
    expected = fusion(base, errors)
    torch.testing.assert_close(fusion(10.0 * base, errors), 10.0 * expected, rtol=1e-3, atol=0)
    torch.testing.assert_close(fusion(base, 7.0 * errors), expected, rtol=1e-3, atol=0)


def test_without_strength_speckles_fade_and_a_defect_stays() -> None:
    fusion = Fusion(map_size=128, size=128, strength=0.0)
    speckles = 0.05 * torch.randn(1, 128, 128, generator=torch.Generator().manual_seed(4))
    found = fusion(speckles.exp(), torch.rand(1, GUIDES, 128, 128)).log()
    assert found.std() < 0.4 * speckles.std()
    defect = (speckles + 2.0 * blurred(128, 8.0)).exp()
    kept = fusion(defect, torch.rand(1, GUIDES, 128, 128))
    torch.testing.assert_close(kept[:, 60:68, 60:68], defect[:, 60:68, 60:68], rtol=0.15, atol=0)


def test_the_written_out_solution_is_the_libraries() -> None:
    draw = torch.Generator().manual_seed(5)
    factors = torch.randn(7, 4, 6, generator=draw)
    matrix, right = factors @ factors.mT + 0.1 * torch.eye(4), torch.randn(7, 4, generator=draw)
    rows = [list(row.unbind(dim=1)) for row in matrix.unbind(dim=1)]
    found = torch.stack(solve(rows, list(right.unbind(dim=1))), dim=1)
    torch.testing.assert_close(found, torch.linalg.solve(matrix, right), rtol=1e-3, atol=1e-3)


def test_a_refined_map_depends_on_no_other_image() -> None:
    one, (pixels, maps, category) = refiner(), inputs(5)
    together = one(pixels, maps, category)
    assert not torch.equal(together, maps)
    for row in range(5):
        part = slice(row, row + 1)
        assert torch.equal(one(pixels[part], maps[part], category[part])[0], together[row])
    assert one(pixels[:0], maps[:0], category[:0]).shape == (0, 48, 48)


def test_the_category_is_a_condition() -> None:
    one, (pixels, maps, _) = refiner(), inputs(1)
    found = [one(pixels, maps, torch.tensor([number])) for number in range(len(NAMES))]
    assert not torch.equal(*found)


def test_what_is_saved_says_the_same(tmp_path: Path) -> None:
    one, given = refiner(), inputs(2)
    one.save(tmp_path)
    found = Refiner.load(tmp_path)
    assert found.config == one.config
    assert torch.equal(found(*given), one(*given))
    assert open_refiner(tmp_path, NAMES) is not None
    with pytest.raises(NormscapeError, match="run the refine stage again"):
        open_refiner(tmp_path, ("bolt", "screw"))


def test_without_files_there_is_no_refiner(tmp_path: Path) -> None:
    assert open_refiner(tmp_path, NAMES) is None
    with pytest.raises(UsageError, match="run the refine stage"):
        Refiner.load(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 9}, {"name": "other"}, {"width": 12}, {"cells": None}, {"later": 1},
        {"size": 40}, {"size": 0},
    ],
)  # fmt: skip
def test_another_configuration_is_refused_in_one_line(tmp_path: Path, changes: dict) -> None:
    refiner().save(tmp_path)
    content = json.loads((tmp_path / CONFIG).read_text())
    (tmp_path / CONFIG).write_text(json.dumps(content | changes))
    with pytest.raises(NormscapeError, match="cannot be read") as caught:
        Refiner.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_damaged_tensors_are_refused(tmp_path: Path) -> None:
    refiner().save(tmp_path)
    tensors = load_file(tmp_path / TENSORS)
    name = next(iter(tensors))
    save_file(tensors | {name: tensors[name] * torch.nan}, tmp_path / TENSORS)
    with pytest.raises(NormscapeError, match="NaN"):
        Refiner.load(tmp_path)
    (tmp_path / TENSORS).write_bytes(b"nothing")
    with pytest.raises(NormscapeError, match="cannot be read"):
        Refiner.load(tmp_path)


def test_the_rule_is_the_p_value() -> None:
    p_values = torch.tensor([0.01, 0.1, 0.11, 1.0], dtype=torch.float64)
    assert refiner(max_p=0.1).wanted(p_values).tolist() == [True, True, False, False]
    assert dataclasses.replace(refiner().config, max_p=0.0).max_p == 0.0
