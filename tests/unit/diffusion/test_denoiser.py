"""The denoiser: what it may see, and what it must not."""

import torch

from normscape.diffusion.denoiser import Condition, Denoiser
from normscape.diffusion.sampler import reconstruct
from normscape.diffusion.schedule import Schedule

B, N, D, K, NEAR, FAR = 2, 5, 8, 12, 3, 2


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def condition() -> Condition:
    # The last two prototypes are nobody's neighbours.
    index = torch.randint(K - 2, (B, N, NEAR), generator=torch.Generator().manual_seed(1))
    return Condition(
        random(K, D, seed=2), index, random(B, FAR, D, seed=3), random(B, N, D, seed=4)
    )


def denoiser() -> Denoiser:
    torch.manual_seed(0)
    network = Denoiser(D, 16, 2, 4, 1000)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return network.eval()


def test_starts_at_the_condition():
    network = Denoiser(D, 16, 2, 4, 1000)
    assert network(random(B, N, D), torch.tensor([5, 9]), condition()).abs().max() == 0


def test_tokens_do_not_see_each_other():
    network, noisy, time = denoiser(), random(B, N, D), torch.tensor([100, 500])
    changed = noisy.clone()
    changed[:, 2] += 5.0
    difference = (network(changed, time, condition()) - network(noisy, time, condition())).abs()
    assert difference[:, 2].min() > 0
    assert difference[:, [0, 1, 3, 4]].max() < 1e-5


def test_everything_it_is_given_matters():
    network, noisy, time = denoiser(), random(B, N, D), torch.tensor([100, 100])
    base, given = network(noisy, time, condition()), condition()
    bank = given.local_bank.clone()
    bank[given.local_index[0, 0, 0]] += 3.0
    others = {
        "time": network(noisy, time + 400, given),
        "local": network(noisy, time, Condition(bank, *list(vars(given).values())[1:])),
        "global": network(
            noisy,
            time,
            Condition(
                given.local_bank, given.local_index, given.global_prototypes + 1.0, given.mean
            ),
        ),
    }
    for name, other in others.items():
        assert (other - base).abs().max() > 1e-4, name


def test_an_unused_prototype_does_not_matter():
    network, noisy, time = denoiser(), random(B, N, D), torch.tensor([100, 100])
    given = condition()
    bank = given.local_bank.clone()
    bank[-2:] += 100.0
    changed = Condition(bank, given.local_index, given.global_prototypes, given.mean)
    torch.testing.assert_close(network(noisy, time, changed), network(noisy, time, given))


def test_order_of_neighbours_does_not_matter():
    network, noisy, time = denoiser(), random(B, N, D), torch.tensor([100, 100])
    given = condition()
    flipped = Condition(
        given.local_bank, given.local_index.flip(-1), given.global_prototypes.flip(1), given.mean
    )
    torch.testing.assert_close(network(noisy, time, flipped), network(noisy, time, given))


def test_one_step_is_the_denoisers_estimate():
    network, schedule = denoiser(), Schedule(1000)
    residual, noise = random(B, N, D), random(1, N, D, seed=9)
    rebuilt = reconstruct(
        network, schedule, residual, condition(), noise.expand(B, -1, -1), start=100, steps=1
    )
    time = torch.full((B,), 100)
    expected = network(schedule.diffuse(residual, noise, time), time, condition())
    assert torch.equal(rebuilt, expected)


def test_ddim_follows_a_perfect_denoiser_to_the_clean_residual():
    schedule, residual = Schedule(1000), random(B, N, D)
    seen = []

    class Perfect(Denoiser):
        def forward(self, noisy, time, condition):
            seen.append((noisy, int(time[0])))
            return residual

    noise = random(B, N, D, seed=9)
    network = Perfect(D, 16, 1, 4, 1000)
    rebuilt = reconstruct(network, schedule, residual, condition(), noise, start=200, steps=4)
    assert torch.equal(rebuilt, residual)
    assert [time for _, time in seen] == [200, 150, 100, 50]
    for noisy, time in seen:
        expected = schedule.diffuse(residual, noise, torch.full((B,), time))
        torch.testing.assert_close(noisy, expected, atol=1e-4, rtol=1e-4)
