"""The loop on a problem with a known answer: rates, averages, stopping, resuming, diverging."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from normscape.errors import NormscapeError
from normscape.training.average import Average
from normscape.training.checkpoint import Checkpoints
from normscape.training.loop import Group, Loop, Progress, Schedule

TARGET = torch.tensor([1.0, -2.0, 3.0])


class Nearer:
    """Moves three numbers to a target that is seen with noise; counts how often it started."""

    names: tuple[str, ...] = ("loss", "largest")

    def __init__(self, *, judged: bool = True) -> None:
        self.place = nn.Linear(3, 1, bias=False)
        nn.init.zeros_(self.place.weight)
        self.seen = torch.zeros(1)
        self.started = 0
        self._judged = judged

    @property
    def module(self) -> nn.Module:
        return self.place

    def groups(self) -> Sequence[Group]:
        return [Group(list(self.place.parameters()), rate=1.0, weight_decay=0.0)]

    def start(self) -> None:
        self.started += 1

    def losses(self, step: int) -> Sequence[Tensor]:
        self.seen += 1
        noise = 0.3 * torch.randn(3, generator=torch.Generator().manual_seed(step))
        apart = (self.place.weight[0] - TARGET - noise).abs()
        return [apart.square().mean(), apart.max()]

    def held_out(self) -> float | None:
        return float((self.place.weight[0].detach() - TARGET).norm()) if self._judged else None

    def state(self) -> dict[str, Tensor]:
        return {"seen": self.seen}

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        self.seen = tensors["seen"]


class CutError(Exception):
    """What ends a training in the middle."""


def schedule(**changes: float | None) -> Schedule:
    usual = {
        "steps": 200, "learning_rate": 0.1, "parameter": "toy.rate", "warm_up": 10,
        "evaluate_every": 10, "patience": 100,
    }  # fmt: skip
    return Schedule(**{**usual, **changes})  # type: ignore[arg-type]


def run(task: Nearer, folder: Path | None = None, **changes: float | None) -> Progress:
    checkpoints = Checkpoints(folder, "k") if folder else None
    return Loop(task, schedule(**changes), checkpoints).run()


def test_the_rate_rises_and_falls() -> None:
    rates = [schedule().rate(step) for step in range(200)]
    assert rates[0] == pytest.approx(0.01, rel=1e-3)
    assert rates[:10] == sorted(rates[:10])
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert max(rates) < 0.1
    assert rates[-1] < 1e-4


def test_it_finds_the_target_and_says_how() -> None:
    task = Nearer()
    progress = run(task, clip=1.0)
    assert task.held_out() == progress.best_loss
    assert progress.best_loss is not None
    assert progress.best_loss < 0.2
    assert [entry["step"] for entry in progress.curve] == list(range(10, 201, 10))
    assert progress.curve[0].keys() == {"step", "loss", "largest", "learning_rate", "held_out"}
    assert progress.summary()["steps"] == task.seen.item() == 200


def test_an_average_is_nearer_than_the_last_weights() -> None:
    last, averaged = Nearer(), Nearer()
    for task, decay in ((last, None), (averaged, 0.95)):
        task._judged = False
        run(task, learning_rate=0.3, average=decay)
    distances = [
        float((task.place.weight[0].detach() - TARGET).norm()) for task in (last, averaged)
    ]
    assert distances[1] < distances[0]


def test_an_average_forgets_its_start_and_gives_the_weights_back() -> None:
    module = nn.Linear(1, 1, bias=False)
    nn.init.constant_(module.weight, 100.0)
    average = Average(module, 0.9)
    for step in range(3):
        nn.init.constant_(module.weight, float(step))
        average.follow(step)
    # After step 0 nothing of 100 is left; then 1/10 and 2/11 of the average stay.
    expected = 2 / 11 * (0.1 * 0.0 + 0.9 * 1.0) + 9 / 11 * 2.0
    with pytest.raises(CutError), average.in_place():
        assert module.weight.item() == pytest.approx(expected)
        raise CutError
    assert module.weight.item() == 2.0


@pytest.mark.parametrize("decay", [None, 0.9])
@pytest.mark.parametrize("at", [1, 10, 57])
def test_an_interruption_changes_nothing(tmp_path: Path, decay: float | None, at: int) -> None:
    whole, cut, resumed = Nearer(), Nearer(), Nearer()
    expected = run(whole, average=decay)

    def end(step: int, loss: float) -> None:
        if step == at + 1:
            raise CutError

    plan = schedule(average=decay, checkpoint_seconds=0.0)
    with pytest.raises(CutError):
        Loop(cut, plan, Checkpoints(tmp_path, "k")).run(end)
    told: list[dict[str, float]] = []
    found = Loop(resumed, plan, Checkpoints(tmp_path, "k")).run(evaluated=told.append)
    assert found == expected
    assert told == expected.curve
    assert (cut.started, resumed.started) == (1, 0)
    assert torch.equal(whole.place.weight, resumed.place.weight)
    assert resumed.seen.item() == 200


def test_it_stops_when_nothing_improves_and_keeps_the_best() -> None:
    task = Nearer()
    values = iter([5.0, 3.0, 4.0, 4.0, 4.0])
    weights = []

    def held_out() -> float:
        weights.append(task.place.weight.detach().clone())
        return next(values)

    task.held_out = held_out  # type: ignore[method-assign]
    progress = run(task, patience=2)
    assert (progress.step, progress.best_step, progress.best_loss) == (40, 20, 3.0)
    assert progress.stopped_early
    assert torch.equal(task.place.weight, weights[1])


@pytest.mark.parametrize("judged", [True, False])
def test_a_loss_that_is_no_number_ends_it_with_what_to_do(*, judged: bool) -> None:
    with pytest.raises(NormscapeError, match=r"lower 'toy\.rate', which is 1e\+30"):
        run(Nearer(judged=judged), learning_rate=1e30)
