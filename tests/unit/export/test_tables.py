import numpy as np
import pytest
import torch

from normscape.export.tables import CalibrationTables, round_down

from .support import calibration

NAMES = ("bolt", "nut", "washer")


@pytest.fixture(params=[12, 4])
def fitted(request: pytest.FixtureRequest):
    return calibration(NAMES, request.param)


def every_score(fitted) -> np.ndarray:
    """Random scores, and those that lie on the residuals and thresholds or next to them."""
    tables = CalibrationTables(fitted, NAMES)
    edges = np.concatenate([tables.tails.numpy().ravel(), tables.thresholds.numpy()])
    edges = edges[edges < 1e6]
    random = np.random.default_rng(1).normal(2, 1, 200).astype(np.float32)
    up, down = np.nextafter(edges, np.float32(9)), np.nextafter(edges, np.float32(-9))
    return np.concatenate([random, edges, up, down]).astype(np.float32)


@pytest.mark.parametrize("index", range(len(NAMES)))
def test_every_float32_score_gets_the_calibrations_p_value_and_decision(fitted, index: int) -> None:
    tables, scores = CalibrationTables(fitted, NAMES), every_score(fitted)
    names = [NAMES[index]] * len(scores)
    chosen = torch.full((len(scores),), index)
    found = tables.p_value(torch.from_numpy(scores), chosen).numpy()
    np.testing.assert_allclose(found, fitted.p_value(scores, names), rtol=1e-6)
    flagged = torch.from_numpy(scores) > tables.thresholds[chosen]
    np.testing.assert_array_equal(flagged.numpy(), fitted.flagged(scores, names))


def test_category_p_values(fitted) -> None:
    tables = CalibrationTables(fitted, NAMES)
    edges = tables.familiar.numpy()
    far = np.array([0.0, 1e9], dtype=np.float32)
    distances = np.concatenate([edges, np.nextafter(edges, np.float32(9)), far])
    found = tables.category_p_value(torch.from_numpy(distances)).numpy()
    np.testing.assert_allclose(found, fitted.category_p_value(distances), rtol=1e-6)


def test_the_order_is_the_models(fitted) -> None:
    forwards, backwards = CalibrationTables(fitted, NAMES), CalibrationTables(fitted, NAMES[::-1])
    assert torch.equal(forwards.thresholds, backwards.thresholds.flip(0))


def test_round_down_is_the_next_float32_below() -> None:
    values = np.random.default_rng(2).normal(size=1000)
    rounded = round_down(values)
    assert rounded.dtype == np.float32
    assert (rounded.astype(np.float64) <= values).all()
    assert (np.nextafter(rounded, np.float32(np.inf)).astype(np.float64) > values).all()
    exact = np.array([0.5, -2.0, 0.0])
    np.testing.assert_array_equal(round_down(exact), exact)
