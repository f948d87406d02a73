"""Pro-AD: what its decoder may draw on, and what it cannot rebuild."""

from itertools import pairwise

import pytest
import torch

from normscape.detectors.proad.config import ProADConfig
from normscape.detectors.proad.detector import ProAD
from normscape.errors import UsageError
from normscape.stages.detector import build


def detector(neighbours: int = 2, layers: int = 2, sizes: tuple[int, ...] = (12, 5)) -> ProAD:
    torch.manual_seed(0)
    made = ProAD(
        ProADConfig(
            tokens=16, dimensions=8, level_sizes=(3, 5), prototypes=sizes, neighbours=neighbours,
            temperature=0.1, norm_power=0.5, width=8, layers=layers, heads=2,
        )
    )  # fmt: skip
    made.local_bank.prototypes.data.normal_()
    return made


def trained(made: ProAD, by: float = 0.3) -> ProAD:
    for parameter in made.decoder.parameters():
        parameter.data.add_(by * torch.randn_like(parameter))
    return made


def test_untrained_with_one_neighbour_it_is_the_nearest_prototype() -> None:
    made, tokens = detector(neighbours=1, layers=1), torch.randn(2, 16, 8)
    rebuilt, nearest = made.rebuild(tokens, torch.tensor([0, 1]))
    for image, category in enumerate((0, 1)):
        bank = made.local_bank.of_category(category)
        distances = torch.cdist(tokens[image], bank).square() / 8
        torch.testing.assert_close(nearest[image], distances.amin(dim=1), rtol=1e-4, atol=1e-5)
        expected = bank[distances.argmin(dim=1)]
        torch.testing.assert_close(rebuilt[image], expected, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("neighbours", [0, 1, 3, 99])
def test_an_image_is_rebuilt_alike_among_others_of_a_larger_category(neighbours: int) -> None:
    made, tokens = trained(detector(neighbours)), torch.randn(2, 16, 8)
    together, _ = made.rebuild(tokens, torch.tensor([0, 1]))
    for image in range(2):
        alone, _ = made.rebuild(tokens[image : image + 1], torch.tensor([image]))
        torch.testing.assert_close(together[image], alone[0], rtol=1e-4, atol=1e-5)


def test_the_same_prototypes_for_every_token_are_what_each_has_by_itself() -> None:
    made, tokens = trained(detector()), torch.randn(1, 16, 8)
    bank, free = made.local_bank.of_category(0), torch.zeros(1, 1, 12)
    shared = made.decoder(tokens, bank.view(1, 1, 12, 8), free)
    each = made.decoder(tokens, bank.expand(1, 16, 12, 8), free)
    for found, expected in zip(each, shared, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_nothing_jumps_where_one_prototype_takes_the_place_of_another() -> None:
    made = trained(detector(neighbours=2), 0.05)
    start, end = torch.randn(2, 1, 8)

    def at(place: float) -> tuple[set[int], torch.Tensor]:
        token = torch.lerp(start, end, place)
        rebuilt, _ = made.rebuild(token.unsqueeze(0), torch.tensor([0]))
        return set(made.local_bank.indices(token, 0)[0].tolist()), rebuilt.detach()

    crossed = 0
    for first, last in pairwise(torch.linspace(0, 1, 50).tolist()):
        low, high = first, last
        for _ in range(16):  # to where the neighbours become others
            middle = (low + high) / 2
            low, high = (low, middle) if at(middle)[0] != at(low)[0] else (middle, high)
        crossed += at(low)[0] != at(high)[0]
        torch.testing.assert_close(at(low)[1], at(high)[1], rtol=0.0, atol=0.02)
    assert crossed > 2


def test_tokens_are_a_set() -> None:
    made, tokens = trained(detector()), torch.randn(1, 16, 8)
    order = torch.randperm(16)
    rebuilt, _ = made.rebuild(tokens, torch.tensor([0]))
    shuffled, _ = made.rebuild(tokens[:, order], torch.tensor([0]))
    torch.testing.assert_close(shuffled, rebuilt[:, order], rtol=1e-4, atol=1e-5)


def test_what_is_far_from_all_prototypes_is_not_rebuilt() -> None:
    made = trained(detector())
    made.freeze()
    normal = made.local_bank.of_category(0).float()[torch.arange(16) % 12]
    odd = normal.clone()
    odd[5] = 9.0
    routes = torch.tensor([[0]])
    usual, unusual = (made.token_scores(image.unsqueeze(0), routes)[0] for image in (normal, odd))
    assert int(unusual[:, 0].argmax()) == 5
    assert unusual[5, 0] > usual[:, 0].max()


def test_prototypes_take_from_every_level_and_end_with_the_last() -> None:
    levels = detector(layers=3).decoder.levels
    assert [(level.start, level.stop) for level in levels] == [(3, 8), (0, 3), (3, 8)]


def test_the_tokens_must_be_made_for_it(prototypes, params) -> None:
    chosen = params.model_copy(
        update={"detector": params.detector.model_copy(update={"name": "proad"})}
    )
    prototypes.transform.level_sizes = ()
    with pytest.raises(UsageError, match="run the prototypes stage again"):
        build(chosen, prototypes)
