"""What names a training and a scoring of the project's detector."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench import ours
from bench.ours import bench_params, run_ours, scoring, trained, with_changes
from normscape.errors import UsageError
from normscape.files import write_json
from normscape.params import Params


def test_changes_are_validated_and_leave_the_rest() -> None:
    params = bench_params()
    changed = with_changes(params, {"features.grid": 8, "maps.top_fraction": 0.5})
    assert (changed.features.grid, changed.maps.top_fraction) == (8, 0.5)
    assert changed.root == params.root
    assert with_changes(changed, {"features.grid": params.features.grid}).features == (
        params.features
    )
    for name in ("features.gird", "gird", "root"):
        with pytest.raises(UsageError, match=f"unknown parameter '{name}'"):
            with_changes(params, {name: 8})
    with pytest.raises(UsageError, match=r"features\.grid"):
        with_changes(params, {"features.grid": 0})


def test_all_scoring_parameters_exist() -> None:
    params = bench_params()
    with_changes(params, {name: ours._value(params, name) for name in scoring(params)})


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of what was trained and scored, without doing either."""
    done: list[str] = []

    def train(_rows: pd.DataFrame, params: Params, out: Path, name: str) -> None:
        assert params.maps.top_fraction >= 0
        done.append(f"train {name} {params.detector.prototype_share}")
        (out / "model").mkdir()
        write_json(out / "record.json", {})

    def score(_rows: pd.DataFrame, params: Params, _model: Path, out: Path, name: str) -> None:
        done.append(f"score {name} {params.detector.prototype_share}")
        np.save(out / "scores.npy", np.zeros(1, dtype=np.float32))
        np.save(out / "maps.npy", np.zeros((1, 2, 2), dtype=np.float16))
        write_json(out / "record.json", {})

    monkeypatch.setattr(ours, "STATE", tmp_path)
    monkeypatch.setattr(ours, "_train", train)
    monkeypatch.setattr(ours, "_score", score)
    return done


def _rows(**changes: str) -> pd.DataFrame:
    common = {"category": "nut", "group": "g", "label": 0, "path": Path("x"), "mask": None}
    splits = {"train": "a", "calibration": "b", "test": "c"} | changes
    return pd.DataFrame([{**common, "split": s, "sha256": sha} for s, sha in splits.items()])


def test_scoring_parameters_do_not_train_again(jobs: list[str]) -> None:
    params = with_changes(bench_params(), {"detector.prototype_share": 0.65})
    first = run_ours(_rows(), params, 0, name="first")
    again = run_ours(_rows(), params, 0, name="again")
    changes = {"detector.prototype_share": 0.0, "prototypes.routed_categories": 7}
    other = with_changes(params, changes | {"maps.smoothing": 1.0})
    second = run_ours(_rows(), other, 0, name="second")
    assert first.model == again.model == second.model
    assert jobs == ["train first 0.5", "score first 0.65", "score second 0.0"]


def test_diffusion_is_another_training(jobs: list[str]) -> None:
    params = with_changes(bench_params(), {"detector.prototype_share": 1.0})
    plain = run_ours(_rows(), params, 0, name="plain")
    other = with_changes(params, {"detector.local_weight": 0.0})
    assert run_ours(_rows(), other, 0, name="unused").model == plain.model
    diffusing = with_changes(params, {"detector.prototype_share": 0.9})
    assert run_ours(_rows(), diffusing, 0, name="diffusion").model != plain.model
    assert len(jobs) == 4


def test_what_shapes_a_model_trains_another(jobs: list[str]) -> None:
    params = bench_params()
    runs = [
        run_ours(_rows(), params, 0, name="0"),
        run_ours(_rows(), params, 1, name="1"),
        run_ours(_rows(train="d"), params, 0, name="2"),
        run_ours(_rows(), with_changes(params, {"features.grid": 8}), 0, name="3"),
        run_ours(_rows(calibration="d"), params, 0, name="4"),
    ]
    assert len({run.model for run in runs}) == 5
    same = run_ours(_rows(test="d"), params, 0, name="5")
    assert same.model == runs[0].model
    assert jobs[-1].startswith("score 5")
    assert len(jobs) == 11


def test_the_source_names_a_training(jobs: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    seeded = with_changes(bench_params(), {"detector.seed": 0})
    first = trained(_rows(), seeded, name="old")
    monkeypatch.setattr(ours, "source_hash", lambda _: "other")
    assert trained(_rows(), seeded, name="new") != first
    assert len(jobs) == 2
