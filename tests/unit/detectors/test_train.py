"""Training: it learns, it stops, and an interruption changes nothing."""

import itertools
import subprocess
from pathlib import Path

import pytest
import torch

from normscape.detectors.batches import BatchSource
from normscape.detectors.kinds import NAMES, kind_of
from normscape.detectors.train import train_detector
from normscape.errors import NormscapeError
from normscape.stages.curves import training_curves
from normscape.stages.detector import build
from normscape.training.checkpoint import Checkpoints


class InterruptedTrainingError(Exception):
    pass


@pytest.fixture(params=NAMES)
def params(request, params):
    """Those of each detector in turn."""
    return changed(params, name=request.param)


@pytest.fixture
def data(sample, held_out):
    return sample, held_out


def silent(step: int, loss: float) -> None:
    pass


def unwatched(entry: dict[str, float]) -> None:
    pass


def changed(params, **detector):
    return params.model_copy(update={"detector": params.detector.model_copy(update=detector)})


def train(tmp_path: Path, prototypes, params, data, *, report=silent, evaluated=unwatched, key="k"):
    detector = build(params, prototypes)
    checkpoints = Checkpoints(tmp_path, key)
    objective = kind_of(params.detector.name).objective(detector, params)
    progress = train_detector(objective, *data, checkpoints, report=report, evaluated=evaluated)
    return detector.state_dict(), progress


def test_the_loss_falls(tmp_path, prototypes, params, data):
    state, progress = train(tmp_path, prototypes, changed(params, steps=110), data)
    assert progress.step == 110
    assert [entry["step"] for entry in progress.curve] == [25, 50, 75, 100, 110]
    assert progress.curve[-1]["held_out"] < progress.curve[0]["held_out"]
    assert all(bool(value.isfinite().all()) for value in state.values())


def test_banks_are_trained_jointly(tmp_path, prototypes, params, data):
    state, _ = train(tmp_path, prototypes, params, data)
    assert not torch.equal(state["local_bank.prototypes"], prototypes.local)
    if "global_bank.prototypes" in state:
        assert not torch.equal(state["global_bank.prototypes"], prototypes.globally)


def test_same_seed_same_bits(tmp_path, prototypes, params, data):
    first, _ = train(tmp_path, prototypes, params, data, key="a")
    second, _ = train(tmp_path, prototypes, params, data, key="b")
    assert all(torch.equal(first[name], second[name]) for name in first)
    other, _ = train(tmp_path, prototypes, changed(params, seed=1), data, key="c")
    weights = [name for name in first if name.endswith("weight")]
    assert weights
    assert not any(torch.equal(first[name], other[name]) for name in weights)


@pytest.mark.parametrize("at", [1, 26, 28])
def test_an_interruption_changes_nothing(tmp_path, prototypes, params, data, at):
    whole, expected = train(tmp_path, prototypes, params, data, key="whole")

    def interrupt(step: int, loss: float) -> None:
        # The report of a step comes before its checkpoint: one more, and it is on disk.
        if step == at + 1:
            raise InterruptedTrainingError

    often = changed(params, checkpoint_seconds=1e-9)
    with pytest.raises(InterruptedTrainingError):
        train(tmp_path, prototypes, often, data, report=interrupt)
    seen = []
    resumed, progress = train(
        tmp_path, prototypes, often, data, report=lambda step, _: seen.append(step)
    )
    assert seen[0] == at + 1
    assert progress == expected
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


@pytest.mark.slow
def test_every_evaluation_is_told_once_also_after_an_interruption(
    tmp_path, prototypes, params, data
):
    often = changed(params, steps=60, checkpoint_seconds=1e-9)

    def interrupt(step: int, loss: float) -> None:
        if step == 52:  # checkpointed: up to 51, with two evaluations
            raise InterruptedTrainingError

    before: list[dict[str, float]] = []
    with pytest.raises(InterruptedTrainingError):
        train(tmp_path, prototypes, often, data, report=interrupt, evaluated=before.append)
    assert [entry["step"] for entry in before] == [25, 50]
    told: list[dict[str, float]] = []
    _, progress = train(tmp_path, prototypes, often, data, evaluated=told.append)
    assert told == progress.curve
    assert told[:2] == before
    assert [entry["step"] for entry in told] == [25, 50, 60]
    rates = [entry["learning_rate"] for entry in told]
    assert 0 < rates[2] < rates[1] < rates[0] < often.detector.learning_rate


@pytest.mark.slow
@pytest.mark.parametrize("repository", [False, True])
def test_watched_or_not_the_training_is_the_same(
    tmp_path, prototypes, params, data, *, monkeypatch, capsys, repository
):
    monkeypatch.chdir(tmp_path)
    if repository:
        subprocess.run(["git", "init", "-q"], check=True)
    with training_curves(tmp_path / "curves") as evaluated:
        watched, progress = train(tmp_path, prototypes, params, data, evaluated=evaluated, key="a")
    unseen, expected = train(tmp_path, prototypes, params, data, key="b")
    assert progress == expected
    assert all(torch.equal(watched[name], unseen[name]) for name in watched)
    assert ("warning: no training curves" in capsys.readouterr().err) == repository
    assert (tmp_path / "curves/plots/metrics/held_out.tsv").exists() != repository


def test_stops_early_with_the_best_tensors(tmp_path, prototypes, params, data):
    detector = build(params := changed(params, steps=500, patience=2), prototypes)
    objective = kind_of(params.detector.name).objective(detector, params)
    rising = itertools.count()
    objective.held_out = lambda _: torch.tensor(float(next(rising)))
    states = {}

    def keep(step: int, loss: float) -> None:
        states[step] = {name: value.clone() for name, value in detector.state_dict().items()}

    checkpoints = Checkpoints(tmp_path, "k")
    progress = train_detector(objective, *data, checkpoints, report=keep, evaluated=unwatched)
    assert (progress.step, progress.best_step, progress.stale) == (75, 25, 2)
    assert progress.stopped_early
    assert progress.best_loss == progress.curve[0]["held_out"]
    state = detector.state_dict()
    assert all(torch.equal(state[name], value) for name, value in states[25].items())
    assert not all(torch.equal(state[name], value) for name, value in states[75].items())


@pytest.mark.parametrize("observed", [True, False])
def test_a_training_that_diverges_ends_with_what_to_do(
    tmp_path, prototypes, params, data, *, observed
):
    wild = changed(params, learning_rate=1e30, steps=30)
    sample, held_out = data
    with pytest.raises(NormscapeError, match=r"lower 'detector\.learning_rate'"):
        train(tmp_path, prototypes, wild, (sample, held_out if observed else None))
    assert not list(tmp_path.iterdir())


def test_without_held_out_images_all_steps_are_done(tmp_path, prototypes, params, sample):
    _, progress = train(tmp_path, prototypes, params, (sample, None))
    assert progress.step == progress.best_step == 30
    assert progress.best_loss is None


def test_batches_depend_on_the_step_alone_and_balance_categories(images):
    from normscape.prototypes.sample import sample_tokens

    sample = sample_tokens([images(40, 0)], [0] * 38 + [1] * 2, 100_000, 0)

    def source() -> BatchSource:
        return BatchSource(sample, images=16, tokens=8, seed=3, device=torch.device("cpu"))

    one, other = source(), source()
    other.draw(0)
    first, second = one.draw(7), other.draw(7)
    names = ("tokens", "region", "embedding", "category")
    assert all(torch.equal(vars(first)[name], vars(second)[name]) for name in names)
    assert first.seed == second.seed != one.draw(8).seed
    assert not torch.equal(one.draw(8).tokens, first.tokens)
    rare = sum(
        bool((embedding == sample.embedding[38:]).all(dim=1).any())
        for step in range(20)
        for embedding in one.draw(step).embedding
    )
    assert 110 < rare < 210


def test_every_token_of_an_image_is_drawn_once_before_any_again(images):
    from normscape.prototypes.sample import sample_tokens

    sample = sample_tokens([images(4, 0)], [0] * 4, 100_000, 0)
    whole = BatchSource(sample, images=2, tokens=96, seed=3, device=torch.device("cpu")).draw(0)
    for drawn in whole.tokens:
        assert len(drawn[:64].unique(dim=0)) == 64
        assert torch.equal(drawn[64:], drawn[:32])
