"""Learning to inpaint: reproducible, resumed after a kill, stopped early, better than nothing."""

from pathlib import Path

import pytest
import torch

from normscape.errors import NormscapeError
from normscape.refine.inpainting import Inpainting
from normscape.refine.pictures import Pictures, draw
from normscape.refine.train import inpainting_loss, train_inpainting
from normscape.sections.model import RefineParams
from normscape.training.checkpoint import Checkpoints
from normscape.training.loop import Progress

PARAMS = RefineParams(
    name="drdc", size=32, width=8, cells=(4, 8), times=(1.0,), steps=60, batch_size=4,
    checkpoint_seconds=1e-9,
)  # fmt: skip


def stripes(count: int, seed: int) -> Pictures:
    """Columns of category 0 and rows of category 1, at any phase."""
    generator = torch.Generator().manual_seed(seed)
    phase = torch.rand(count, 1, generator=generator) * 6.3
    wave = (127 + 100 * torch.sin(torch.arange(32) * 0.8 + phase)).round()
    labels = torch.arange(count) % 2
    columns = wave[:, None, None, :].expand(-1, 3, 32, -1)
    pixels = torch.where(labels.view(-1, 1, 1, 1) == 0, columns, columns.transpose(2, 3))
    return Pictures(pixels.byte(), labels)


class KilledError(Exception):
    """What ends a training in the middle."""


def trained(
    folder: Path, *, steps: int | None = None, params: RefineParams = PARAMS, held: int = 4
) -> tuple[Inpainting, Progress]:
    """Trained from its checkpoint on; killed by the report after `steps`, if any."""
    torch.manual_seed(params.seed)
    model = Inpainting(2, params.width, params.size, params.cells, params.times)

    def report(step: int, loss: float) -> None:
        if steps is not None and step > steps:
            raise KilledError

    progress = train_inpainting(
        model, stripes(12, 0), stripes(held, 1), params, Checkpoints(folder, "key"), report=report
    )
    return model, progress


@pytest.mark.slow
def test_an_interrupted_training_ends_as_one_that_was_not(tmp_path: Path) -> None:
    whole, progress = trained(tmp_path / "whole")
    with pytest.raises(KilledError):
        trained(tmp_path / "cut", steps=23)
    assert (tmp_path / "cut" / "key").exists()
    resumed, again = trained(tmp_path / "cut")
    assert again == progress
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


def test_it_learns_what_normal_pictures_look_like(tmp_path: Path) -> None:
    torch.manual_seed(PARAMS.seed)
    before = Inpainting(2, PARAMS.width, PARAMS.size, PARAMS.cells, PARAMS.times)
    after, progress = trained(tmp_path)
    trial = draw(stripes(8, 7), PARAMS.cells, PARAMS.times, 8, 99)
    with torch.no_grad():
        assert inpainting_loss(after, trial) < 0.8 * inpainting_loss(before, trial)
    assert progress.best_loss is not None
    assert [entry["step"] for entry in progress.curve] == [50, 60]


def test_without_held_out_pictures_all_steps_are_taken(tmp_path: Path) -> None:
    few = PARAMS.model_copy(update={"steps": 3})
    _, progress = trained(tmp_path, params=few, held=0)
    assert (progress.step, progress.best_step, progress.best_loss) == (3, 3, None)


@pytest.mark.slow
def test_it_stops_when_nothing_improves(tmp_path: Path) -> None:
    still = PARAMS.model_copy(
        update={"steps": 400, "patience": 1, "learning_rate": 1e-12, "width": 8}
    )
    _, progress = trained(tmp_path, params=still)
    assert progress.step < 400


def test_a_training_that_diverges_says_what_to_do(tmp_path: Path) -> None:
    wild = PARAMS.model_copy(update={"learning_rate": 1e30})
    with pytest.raises(NormscapeError, match=r"lower 'refine.learning_rate', which is 1e\+30"):
        trained(tmp_path, params=wild)


def test_a_trial_depends_on_its_number_alone() -> None:
    pictures = stripes(9, 3)
    first, again, other = (draw(pictures, (4, 8), (0.5, 1.0), 16, seed) for seed in (5, 5, 6))
    assert all(torch.equal(value, vars(again)[name]) for name, value in vars(first).items())
    assert not torch.equal(first.noised, other.noised)
    assert set(first.time.tolist()) == {0.5, 1.0}
