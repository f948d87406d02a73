"""The simulation of the gate's rule, at small size."""

from bench.gate import simulate


def test_a_much_worse_model_is_refused_and_an_equal_one_is_not() -> None:
    equal = simulate(60, 0.02, 0.0, repetitions=4)
    assert (equal.mean, equal.category) == (0, 0)
    worse = simulate(60, 0.02, 0.2, repetitions=4)
    assert (worse.mean, worse.category) == (1, 1)
