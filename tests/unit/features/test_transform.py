from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from normscape.errors import DataError, NormscapeError, UsageError
from normscape.features.transform import TokenTransform, to_grid
from normscape.sections.model import FeatureParams

SHAPES = ((6, 16, 16), (10, 8, 8), (4, 4, 4))


def batches(count: int = 6, seed: int = 0) -> Iterator[list[Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        batch = []
        for channels, height, width in SHAPES:
            mix = torch.linspace(-1, 1, channels * channels).view(channels, channels).cos()
            noise = torch.randn(4, channels, height, width, generator=generator)
            batch.append(3.0 + torch.einsum("cd,bdhw->bchw", mix + torch.eye(channels), noise))
        yield batch


def params(**changes: object) -> FeatureParams:
    values = {"grid": 8, "neighbourhood": 3, "dimensions": 12, "fit_tokens": 100_000}
    return FeatureParams.model_validate(values | changes)


def fit(**changes: object) -> TokenTransform:
    return TokenTransform.fit(batches(), params(**changes), SHAPES)


def all_tokens(transform: TokenTransform) -> Tensor:
    return torch.cat([transform(maps) for maps in batches()]).flatten(0, 1)


def reference(whitening: float) -> Tensor:
    """The definition, step by step, without any reordering."""
    grids = [
        torch.cat([to_grid(maps[level], 8, 3) for maps in batches()]).double() for level in range(3)
    ]
    balanced = []
    for grid in grids:
        tokens = grid.flatten(2).transpose(1, 2).flatten(0, 1)
        centred = tokens - tokens.mean(0)
        balanced.append(centred / centred.square().sum(1).mean().sqrt())
    x = torch.cat(balanced, dim=1)
    values, vectors = torch.linalg.eigh(x.T @ x / len(x))
    values, vectors = values.flip(0)[:12], vectors.flip(1)[:, :12]
    vectors = vectors * vectors[vectors.abs().argmax(0), torch.arange(12)].sign()
    projected = x @ vectors / values ** (whitening / 2)
    return projected / projected.pow(2).mean().sqrt()


@pytest.mark.parametrize("whitening", [0.0, 0.5, 1.0])
def test_forward_is_the_definition(whitening: float) -> None:
    assert torch.allclose(
        all_tokens(fit(whitening=whitening)).double(), reference(whitening), atol=1e-3
    )


def test_full_whitening_gives_uncorrelated_unit_dimensions() -> None:
    tokens = all_tokens(fit(whitening=1.0)).double()
    assert torch.allclose(tokens.mean(0), torch.zeros(12, dtype=torch.float64), atol=1e-4)
    covariance = tokens.T @ tokens / len(tokens)
    assert torch.allclose(covariance, torch.eye(12, dtype=torch.float64), atol=1e-3)


def test_mean_squared_norm_is_the_number_of_dimensions() -> None:
    tokens = all_tokens(fit(whitening=0.5))
    assert float(tokens.pow(2).sum(1).mean()) == pytest.approx(12, rel=1e-3)


def test_no_level_dominates_by_its_channels() -> None:
    transform = fit(whitening=0.0, dimensions=20)
    shares = []
    for level in range(3):
        alone = [torch.full((1, *shape), 3.0) for shape in SHAPES]
        base = transform(alone)
        alone[level] = alone[level] + torch.randn(1, *SHAPES[level])
        shares.append(float((transform(alone) - base).pow(2).sum()))
    assert max(shares) / min(shares) < 4  # channels differ 2.5 times, positions 16 times


def test_an_image_does_not_depend_on_its_batch_mates() -> None:
    transform = fit()
    maps = next(batches())
    together = transform(maps)
    for row in range(4):
        assert torch.equal(transform([level[row : row + 1] for level in maps])[0], together[row])


def test_neighbourhood_does_not_darken_the_border() -> None:
    constant = torch.full((1, 2, 7, 7), 5.0)
    assert torch.allclose(to_grid(constant, 12, 5), torch.full((1, 2, 12, 12), 5.0))


def test_finer_maps_are_averaged_not_sampled() -> None:
    board = torch.zeros(1, 1, 16, 16)
    board[..., ::2] = 1.0
    assert torch.allclose(to_grid(board, 4, 1), torch.full((1, 1, 4, 4), 0.5), atol=0.05)


def test_tokens_run_along_the_rows_of_the_grid() -> None:
    transform = fit()
    maps = [torch.zeros(1, *shape) for shape in SHAPES]
    base = transform(maps)
    maps[0][:, :, 0, 14:] = 50.0
    changed = (transform(maps) - base).abs().sum(-1)[0].view(8, 8)
    assert int(changed.argmax()) == 7


def test_the_same_data_give_the_same_transform() -> None:
    first, second = fit(fit_tokens=300), fit(fit_tokens=300)
    for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_a_sample_is_enough_and_bounded() -> None:
    sampled, whole = all_tokens(fit(fit_tokens=700)), all_tokens(fit())
    agreement = torch.nn.functional.cosine_similarity(sampled @ sampled[0], whole @ whole[0], dim=0)
    assert float(agreement) > 0.95


def test_fit_reads_a_stream_once() -> None:
    stream = batches()
    TokenTransform.fit(stream, params(), SHAPES)
    assert next(stream, None) is None


def test_saved_and_loaded_it_is_the_same(tmp_path: Path) -> None:
    transform = fit()
    save_file(transform.state_dict(), tmp_path / "t.safetensors")
    again = TokenTransform.from_config(transform.config())
    again.load_state_dict(load_file(tmp_path / "t.safetensors"))
    maps = next(batches(seed=1))
    assert torch.equal(again(maps), transform(maps))
    assert again.tokens == 64


def test_more_dimensions_than_channels_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match=r"features.dimensions is 21.*6 \+ 10 \+ 4 = 20"):
        fit(dimensions=21)


def test_no_images_is_a_data_error() -> None:
    with pytest.raises(DataError, match="no training images"):
        TokenTransform.fit([], params(), SHAPES)


def test_a_damaged_configuration_is_refused() -> None:
    config = fit().config()
    del config["grid"]
    with pytest.raises(NormscapeError, match="grid"):
        TokenTransform.from_config(config)


def test_channels_that_never_change_are_left_out() -> None:
    def dead() -> Iterator[list[Tensor]]:
        for maps in batches():
            maps[1][:, 3] = 7.0
            yield maps

    transform = TokenTransform.fit(dead(), params(), SHAPES)
    maps = next(dead())
    before = transform(maps)
    maps[1][:, 3] = 1000.0
    assert torch.equal(transform(maps), before)
    assert bool(before.isfinite().all())


def test_fewer_tokens_than_dimensions_stay_finite() -> None:
    one = [[level[:1] for level in next(batches())]]
    transform = TokenTransform.fit(one, params(fit_tokens=5, whitening=1.0), SHAPES)
    assert bool(transform(next(batches())).isfinite().all())


def test_a_level_has_its_weight_of_the_variance_whatever_its_channels_and_their_units() -> None:
    transform = fit(
        level_weights=(3.0, 1.0, 2.0), whitening=0.0, dimensions=sum(shape[0] for shape in SHAPES)
    )
    shares = []
    for level in range(3):
        alone = [
            [
                maps if number == level else torch.zeros_like(maps)
                for number, maps in enumerate(all_)
            ]
            for all_ in batches()
        ]
        tokens = torch.cat([transform(maps) for maps in alone]).flatten(0, 1)
        shares.append(float((tokens - tokens.mean(0)).square().sum(1).mean()))
    assert shares == pytest.approx([sum(shares) * share for share in (0.5, 1 / 6, 1 / 3)], rel=1e-2)


def test_weights_must_be_one_a_level() -> None:
    with pytest.raises(UsageError, match="one weight per level"):
        fit(level_weights=(1.0, 2.0))


@pytest.mark.parametrize("whitening", [0.0, 0.5])
def test_by_level_every_number_of_a_token_is_of_one_level(whitening: float) -> None:
    settings = params(whitening=whitening)
    fitted = TokenTransform.fit(batches(), settings, SHAPES, by_level=True)
    sizes = fitted.level_sizes
    assert sum(sizes) == 12
    assert min(sizes) >= 1
    tokens = all_tokens(fitted)
    assert tokens.pow(2).mean().item() == pytest.approx(1.0, abs=1e-3)
    parts = torch.split(tokens, list(sizes), dim=-1)
    silent = [torch.zeros(1, *shape) for shape in SHAPES]
    for level, shape in enumerate(SHAPES):
        heard = [*silent]
        heard[level] = torch.ones(1, *shape)
        moved = (fitted(heard) - fitted(silent))[0].split(list(sizes), dim=-1)
        assert [bool(part.abs().max() > 1e-4) for part in moved] == [n == level for n in range(3)]
        # Principal components of a level do not vary together.
        covariance = torch.cov(parts[level].T).view(sizes[level], -1)
        assert (covariance - covariance.diag().diag()).abs().max() < 1e-2
    again = TokenTransform.from_config(fitted.config())
    assert again.level_sizes == sizes
    assert fit().level_sizes == ()
    assert "level_sizes" not in fit().config()
