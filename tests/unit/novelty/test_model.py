from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from normscape.errors import DataError, NormscapeError, UsageError
from normscape.novelty.counts import strange_level
from normscape.novelty.inspector import Inspector
from normscape.novelty.model import CONFIG, TENSORS, Novelty
from normscape.novelty.pooling import SIDE, RegionPooling, mean_of, median_of, rounded
from normscape.novelty.train import Sample, fit_novelty
from normscape.sections.model import NoveltyParams
from normscape.training.loop import Progress
from tests.unit.export import support

SHAPES = ((4, 8, 8), (6, 8, 8), (12, 4, 4))
NAMES = ("bolt", "cap", "nut", "pin")
PARAMS = NoveltyParams(steps=100, batch_size=32, width=32, blocks=1)
SIZE = sum(shape[0] for shape in SHAPES)


def products(count: int, seed: int, kinds: int = len(NAMES)) -> Sample:
    """Regions of images of several kinds; a kind is a place in space, an image a step from it."""
    places = 3.0 * torch.randn(9, 1, SIZE, generator=torch.Generator().manual_seed(1))
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % kinds
    image = 0.5 * torch.randn(count, 1, SIZE, generator=draw)
    regions = 0.3 * torch.randn(count, SIDE**2, SIZE, generator=draw)
    return Sample(places[labels] + image + regions, labels)


def foreign(count: int) -> torch.Tensor:
    """Images of kinds that were not learned."""
    sample = products(count, 5, kinds=9)
    return sample.regions[sample.labels >= len(NAMES)]


def fit(params: NoveltyParams = PARAMS) -> tuple[Novelty, Progress]:
    return fit_novelty(products(80, 2), products(20, 3), NAMES, RegionPooling(SHAPES), params)


@pytest.fixture(scope="module")
def fitted() -> tuple[Novelty, Progress]:
    torch.set_num_threads(1)
    return fit()


def test_regions_are_the_means_of_the_maps() -> None:
    pooling, maps = RegionPooling(SHAPES), [torch.randn(3, *shape) for shape in SHAPES]
    regions = pooling(maps)
    assert regions.shape == (3, SIDE**2, SIZE)
    expected = torch.cat([functional.adaptive_avg_pool2d(level, SIDE) for level in maps], dim=1)
    torch.testing.assert_close(regions, expected.flatten(2).transpose(1, 2))
    torch.testing.assert_close(
        mean_of(regions), torch.cat([level.mean(dim=(2, 3)) for level in maps], dim=1)
    )


def test_the_median_is_blind_to_a_defect_in_a_few_regions() -> None:
    regions = products(5, 0).regions
    spoiled = regions.clone()
    spoiled[:, :5] += 100.0
    assert (median_of(spoiled) - median_of(regions)).abs().max() < 1.5
    assert (mean_of(spoiled) - mean_of(regions)).abs().min() > 20.0


def test_fresh_maps_are_rounded_like_stored_ones() -> None:
    maps = [torch.full((1, 2, 4, 4), 1e9), torch.randn(1, 2, 4, 4)]
    stored = [level.clamp(-65504, 65504).half().float() for level in maps]
    assert all(torch.equal(*pair) for pair in zip(rounded(maps), stored, strict=True))


def test_training_reduces_the_loss_on_images_held_out(fitted: tuple[Novelty, Progress]) -> None:
    curve = [entry["held_out"] for entry in fitted[1].curve]
    assert min(curve) < 0.9 * curve[0]
    assert fitted[1].best_loss == min(curve)
    assert fitted[1].best_step in {int(entry["step"]) for entry in fitted[1].curve}


def test_training_stops_when_it_no_longer_improves() -> None:
    _, progress = fit(
        PARAMS.model_copy(update={"steps": 2000, "patience": 1, "learning_rate": 0.03})
    )
    assert progress.step < 2000
    assert progress.step - progress.best_step == 50


def test_the_same_images_give_the_same_model(fitted: tuple[Novelty, Progress]) -> None:
    again, _ = fit()
    for name, value in fitted[0].state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_unknown_products_are_stranger_than_known_ones(fitted: tuple[Novelty, Progress]) -> None:
    novelty, _ = fitted
    known, unknown = novelty.judge(products(80, 4).regions), novelty.judge(foreign(90))
    assert unknown.min() > known.max()
    assert abs(float(known.mean())) < 1.0
    for name, values in novelty.measures(foreign(90)).items():
        assert values.mean() > novelty.measures(products(80, 4).regions)[name].mean(), name


def test_p_values_hold_on_normal_images(fitted: tuple[Novelty, Progress]) -> None:
    """The share of strange images among normals, over many calibration sets, is the level."""
    novelty, shares = fitted[0], []
    every = novelty.judge(products(4000, 6).regions).numpy()
    draw = np.random.default_rng(0)
    for _ in range(200):
        order = draw.permutation(every)
        reference, new = np.sort(order[:99]), order[99:599]
        p_values = (1 + 99 - np.searchsorted(reference, new, side="left")) / 100
        shares.append(float((p_values <= strange_level(0.05, 99)[0]).mean()))
    assert np.mean(shares) == pytest.approx(0.05, abs=0.01)


def test_it_is_read_as_it_was_written(fitted: tuple[Novelty, Progress], tmp_path: Path) -> None:
    novelty, _ = fitted
    novelty.save(tmp_path)
    regions = products(6, 7).regions
    assert torch.equal(Novelty.load(tmp_path).judge(regions), novelty.judge(regions))


def test_what_cannot_be_read_is_refused(fitted: tuple[Novelty, Progress], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="run the novelty stage"):
        Novelty.load(tmp_path)
    fitted[0].save(tmp_path)
    content = (tmp_path / CONFIG).read_text()
    (tmp_path / CONFIG).write_text(content.replace('"format": 1', '"format": 2'))
    with pytest.raises(NormscapeError, match="format 2, this version reads 1"):
        Novelty.load(tmp_path)
    (tmp_path / CONFIG).write_text(content)
    (tmp_path / TENSORS).write_bytes(b"\0" * 64)
    with pytest.raises(NormscapeError, match="damaged or was written by another"):
        Novelty.load(tmp_path)


def test_a_category_needs_two_images() -> None:
    sample = products(9, 0)
    few = Sample(sample.regions[:6], torch.tensor([0, 0, 1, 1, 2, 3]))
    empty = Sample(sample.regions[:0], torch.zeros(0, dtype=torch.long))
    with pytest.raises(DataError, match="'nut' has 1 training image"):
        fit_novelty(few, empty, NAMES, RegionPooling(SHAPES), PARAMS)


def test_it_learns_without_images_held_out() -> None:
    empty = Sample(torch.zeros(0, SIDE**2, SIZE), torch.zeros(0, dtype=torch.long))
    novelty, progress = fit_novelty(
        products(16, 0), empty, NAMES, RegionPooling(SHAPES),
        PARAMS.model_copy(update={"steps": 20}),
    )  # fmt: skip
    assert progress.best_loss is None
    assert progress.best_step == progress.step == 20
    assert bool(novelty.judge(products(4, 1).regions).isfinite().all())


def test_a_training_that_diverges_says_what_to_do() -> None:
    wild = PARAMS.model_copy(update={"learning_rate": 1e30})
    with pytest.raises(NormscapeError, match=r"lower 'novelty.learning_rate', which is 1e\+30"):
        fit(wild)


@pytest.mark.parametrize("threads", [1, 2])
def test_an_image_is_as_strange_alone_as_among_others(threads: int) -> None:
    torch.set_num_threads(threads)
    inspector, maps = support.model(), support.level_maps(19)
    together = inspector(maps).strangeness
    for first, last in ((0, 1), (3, 5), (4, 17), (18, 19)):
        part = inspector([level[first:last] for level in maps]).strangeness
        assert torch.equal(part, together[first:last])
    torch.set_num_threads(1)


def test_without_a_novelty_model_the_category_distance_counts() -> None:
    found = support.model(novelty=False)(support.level_maps(3))
    assert torch.equal(found.strangeness, found.category_distance)


def test_another_backbone_is_refused(fitted: tuple[Novelty, Progress]) -> None:
    with pytest.raises(NormscapeError, match="run the novelty stage again"):
        Inspector(support.model(novelty=False), fitted[0])
