"""Finishing maps against the slow way: resize, pad, convolve, sort."""

import pytest
import torch
from torch.nn import functional

from normscape.detectors.maps import finish_maps
from normscape.sections.model import MapParams


def grid(batch: int = 3, side: int = 8) -> torch.Tensor:
    return torch.rand(batch, side * side, generator=torch.Generator().manual_seed(0))


def alike(values: torch.Tensor) -> torch.Tensor:
    return torch.stack([values, values], dim=-1)


@pytest.mark.parametrize(("size", "sigma"), [(64, 4.0), (64, 0.0), (100, 2.5), (32, 30.0)])
def test_equals_resize_and_convolution(size: int, sigma: float):
    maps, _ = finish_maps(alike(grid()), MapParams(size=size, smoothing=sigma))
    expected = functional.interpolate(
        grid().view(3, 1, 8, 8).double(), size=size, mode="bilinear", align_corners=False
    )
    if sigma:
        radius = min(int(-(-4 * sigma // 1)), size - 1)
        line = torch.exp(-0.5 * (torch.arange(-radius, radius + 1).double() / sigma) ** 2)
        kernel = torch.outer(line, line) / line.sum() ** 2
        padded = functional.pad(expected, (radius,) * 4, mode="reflect")
        expected = functional.conv2d(padded, kernel[None, None])
    torch.testing.assert_close(maps.double(), expected.squeeze(1), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("size", "sigma"), [(256, 4.0), (256, 8.0), (32, 1.0), (100, 3.0)])
def test_score_is_the_mean_of_the_top_share_of_the_map(size: int, sigma: float):
    tokens = torch.rand(4, 256, 2, generator=torch.Generator().manual_seed(1))
    settings = MapParams(size=size, smoothing=sigma, top_fraction=0.02)
    maps, scores = finish_maps(tokens, settings)
    count = round(0.02 * size**2)
    expected = maps.flatten(1).sort(dim=1, descending=True).values[:, :count].mean(dim=1)
    torch.testing.assert_close(scores, expected, rtol=0.02, atol=0.0)


def test_the_first_score_gives_the_height_and_the_second_the_shape():
    first, second = grid(2), grid(2).flip(0)
    maps, scores = finish_maps(torch.stack([first, second], dim=-1), MapParams(size=64))
    shapes, _ = finish_maps(alike(second), MapParams(size=64))
    _, expected = finish_maps(alike(first), MapParams(size=64))
    assert torch.equal(scores, expected)
    ratio = maps / shapes
    torch.testing.assert_close(ratio, ratio[:, :1, :1].expand_as(ratio))
    doubled, twice = finish_maps(torch.stack([2 * first, second], dim=-1), MapParams(size=64))
    torch.testing.assert_close(doubled, 2 * maps)
    torch.testing.assert_close(twice, 2 * scores)


def test_a_constant_stays_constant_and_scores_are_not_clamped():
    maps, scores = finish_maps(alike(torch.full((1, 16), 3.0)), MapParams(size=40))
    torch.testing.assert_close(maps, torch.full((1, 40, 40), 3.0))
    torch.testing.assert_close(scores, torch.tensor([3.0]))


def test_an_image_equal_to_its_prototypes_scores_zero():
    maps, scores = finish_maps(torch.zeros(1, 16, 2), MapParams(size=40))
    assert not maps.any()
    assert not scores.any()


def test_a_hot_token_is_hot_in_its_place():
    values = torch.zeros(1, 64)
    values[0, 8 * 6 + 1] = 1.0
    maps, _ = finish_maps(alike(values), MapParams(size=64, smoothing=2.0))
    row, column = divmod(int(maps.argmax()), 64)
    assert 48 <= row < 56
    assert 8 <= column < 16


def test_top_share_of_everything_is_the_mean():
    maps, scores = finish_maps(alike(grid(1)), MapParams(size=32, top_fraction=1.0))
    torch.testing.assert_close(scores, maps.mean(dim=(1, 2)), rtol=0.01, atol=0.0)
