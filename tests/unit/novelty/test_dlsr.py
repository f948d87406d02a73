import pytest
import torch

from normscape.novelty.dlsr import DLSR, DLSRConfig

CONFIG = DLSRConfig(
    channels=(3, 5), width=16, blocks=2, timesteps=100, noise_step=5, sampler_steps=2
)


def clean(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 8, generator=torch.Generator().manual_seed(seed))


def test_an_untrained_denoiser_estimates_nothing() -> None:
    model = DLSR(CONFIG)
    assert torch.equal(model.denoiser(clean(4), torch.full((4,), 5)), torch.zeros(4, 8))
    assert torch.equal(model.reconstruct(clean(4)), torch.zeros(4, 8))


def test_noise_grows_and_the_variance_of_the_signal_shrinks_with_t() -> None:
    kept = DLSR(CONFIG).kept
    assert kept[0] == 1.0
    assert len(kept) == CONFIG.timesteps + 1
    assert bool((kept.diff() < 0).all())
    noise = torch.ones(1, 8)
    far = DLSR(CONFIG).diffuse(torch.zeros(1, 8), noise, torch.tensor([100]))
    near = DLSR(CONFIG).diffuse(torch.zeros(1, 8), noise, torch.tensor([3]))
    assert far.mean() > 5 * near.mean() > 0


def test_what_comes_back_as_it_was_has_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    model = DLSR(CONFIG)
    monkeypatch.setattr(model, "reconstruct", lambda given: given)
    assert torch.allclose(model.errors(clean(6)), torch.zeros(6, 2), atol=1e-6)


def test_every_level_counts_alike_whatever_its_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    model, given = DLSR(CONFIG), clean(1)
    first, second = given.clone(), given.clone()
    first[:, :3] *= -1
    second[:, 3:] *= -1
    for rebuilt in (first, second):
        monkeypatch.setattr(model, "reconstruct", lambda _, rebuilt=rebuilt: rebuilt)
        assert model.errors(given)[0, 0] == pytest.approx(1.0, abs=1e-6)


def test_ddim_steps_go_evenly_from_t_to_0(monkeypatch: pytest.MonkeyPatch) -> None:
    model, seen = DLSR(CONFIG), []

    def forward(state: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        seen.append(int(time[0]))
        return state

    monkeypatch.setattr(model.denoiser, "forward", forward)
    model.reconstruct(clean(2))
    assert seen == [5, 2]
