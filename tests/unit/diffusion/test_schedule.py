"""The forward process against its published values."""

import pytest
import torch

from normscape.diffusion.schedule import Schedule


def test_published_values():
    schedule = Schedule(1000)
    betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    torch.testing.assert_close(schedule.signal[1].double() ** 2, 1 - betas[0])
    torch.testing.assert_close(
        schedule.signal[500].double() ** 2, torch.prod(1 - betas[:500]), rtol=1e-5, atol=1e-7
    )
    assert schedule.signal[1000] < 0.01


@pytest.mark.parametrize("steps", [50, 1000])
def test_variance_is_preserved_and_signal_falls(steps: int):
    schedule = Schedule(steps)
    assert len(schedule.signal) == steps + 1
    total = schedule.signal**2 + schedule.noise**2
    torch.testing.assert_close(total, torch.ones(steps + 1))
    assert bool((schedule.signal.diff() < 0).all())
    assert schedule.signal[-1] < 0.05


def test_the_mean_moves_to_the_condition():
    schedule = Schedule(1000)
    x, y = torch.randn(2, 3, 5), torch.randn(2, 3, 5)
    time = torch.tensor([300, 900])
    shifted = y + schedule.diffuse(x - y, torch.zeros_like(x), time)
    signal = schedule.signal[time].view(2, 1, 1)
    torch.testing.assert_close(shifted, signal * x + (1 - signal) * y)


def test_time_zero_is_clean():
    clean, noise = torch.randn(1, 4, 5), torch.randn(1, 4, 5)
    assert torch.equal(Schedule(10).diffuse(clean, noise, torch.tensor([0])), clean)
