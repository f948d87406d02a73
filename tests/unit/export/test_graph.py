import numpy as np
import openvino
import pytest
import torch

from normscape.detectors.kinds import NAMES
from normscape.errors import NormscapeError
from normscape.export.graph import OUTPUTS, DetectorGraph, TokenGraph
from normscape.export.trace import trace
from normscape.features.transform import TokenTransform

from .support import SHAPES, calibration, level_maps, model, transform


def judged(graph: DetectorGraph, maps, declared=None) -> dict[str, torch.Tensor]:
    if declared is None:
        declared = torch.full((len(maps[0]),), -1)
    with torch.no_grad():
        return dict(zip(OUTPUTS, graph(maps, declared), strict=True))


def graph_of(built) -> DetectorGraph:
    return DetectorGraph(built, calibration(built.categories)).eval()


@pytest.mark.parametrize("grid", [4, 8, 16])
@pytest.mark.parametrize("neighbourhood", [1, 3])
def test_tokens_are_those_of_the_transform(grid: int, neighbourhood: int) -> None:
    built: TokenTransform = transform(grid, neighbourhood)
    maps = level_maps(3)
    expected = built([level.half().float() for level in maps])
    torch.testing.assert_close(TokenGraph(built)(maps), expected, rtol=1e-4, atol=1e-4)


def test_values_beyond_float16_are_clamped_and_small_ones_kept() -> None:
    built = transform()
    maps = [level * 1e-3 for level in level_maps(1)]
    maps[0][0, 0, 0, 0] = 1e9
    expected = built([level.clamp(-65504, 65504).half().float() for level in maps])
    torch.testing.assert_close(TokenGraph(built)(tuple(maps)), expected, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("count", [1, 3, 16])
@pytest.mark.parametrize("sizes", [(5, 9, 3), (7, 7), (6,)])
@pytest.mark.parametrize(("power", "novelty"), [(0.0, True), (0.5, False), (1.0, True)])
@pytest.mark.parametrize("name", NAMES)
def test_the_graph_says_what_the_model_says(
    name: str, count: int, sizes, power: float, novelty: bool
) -> None:
    built = model(sizes, name=name, power=power, novelty=novelty)
    maps = level_maps(count)
    expected, found = built(maps), judged(graph_of(built), maps)
    assert torch.equal(found["category"], expected.category)
    torch.testing.assert_close(found["score"], expected.score, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found["map"], expected.map, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(
        found["category_distance"], expected.category_distance, rtol=1e-4, atol=1e-5
    )
    torch.testing.assert_close(found["strangeness"], expected.strangeness, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("novelty", [True, False])
def test_openvino_follows_the_graph_of_any_bundle(novelty: bool) -> None:
    graph, maps = graph_of(model(novelty=novelty)), level_maps(3)
    converted = openvino.convert_model(trace(graph, SHAPES, listed=True))
    found = openvino.compile_model(converted, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(
        [*maps, np.full(3, -1)]
    )
    expected = judged(graph, maps)
    assert len(found) == len(OUTPUTS)
    for name, value in zip(OUTPUTS, found.to_tuple(), strict=True):
        np.testing.assert_allclose(value, expected[name], rtol=1e-3, atol=1e-3, err_msg=name)


@pytest.mark.parametrize("name", NAMES)
def test_an_image_goes_to_the_better_of_two_close_categories(name: str) -> None:
    built = model((5, 9), name=name)
    graph = graph_of(built)
    maps = level_maps(1)
    with torch.no_grad():
        tokens = built.tokens(maps)
        embedding = graph._embedding(tokens)[0]
        # Both categories are as near as can be; the second one's prototypes explain it.
        centre = embedding @ built.head.whitening
        built.head.centres.copy_(centre + torch.tensor([[1e-4], [1.1e-4]]))
        built.head.scale.fill_(1.0)
        inside = built.detector.spaces.enter(tokens[0], 1)
        built.detector.local_bank.prototypes.data[5:] = inside[:9] + 0.1 * torch.randn(9, 8)
        built.detector.freeze()
    expected, found = built(maps), judged(graph_of(built), maps)
    assert found["category"].item() == expected.category.item() == 0
    torch.testing.assert_close(found["map"], expected.map, rtol=1e-3, atol=1e-4)
    first_only = model((5, 9), name=name)
    first_only.load_state_dict(built.state_dict())
    first_only.detector.freeze()
    first_only.route_margin = 1.0
    assert not torch.allclose(found["map"], judged(graph_of(first_only), maps)["map"], atol=1e-2)


def test_without_the_constraint_the_graph_says_the_same_too() -> None:
    built, maps = model((5, 9, 3), name="proad", neighbours=0), level_maps(4)
    expected, found = built(maps), judged(graph_of(built), maps)
    torch.testing.assert_close(found["score"], expected.score, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found["map"], expected.map, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_an_image_does_not_depend_on_its_batch_mates(name: str) -> None:
    graph, maps = graph_of(model(name=name)), level_maps(5)
    together = judged(graph, maps)
    for row in range(5):
        alone = judged(graph, tuple(level[row : row + 1] for level in maps))
        torch.testing.assert_close(together["map"][row], alone["map"][0], rtol=1e-4, atol=1e-5)


def test_the_declared_category_chooses_p_value_threshold_and_decision() -> None:
    built = model()
    fitted = calibration(built.categories)
    maps = level_maps(6)
    declared = torch.tensor([-1, 0, 1, 2, -1, 1])
    found = judged(DetectorGraph(built, fitted).eval(), maps, declared)
    scores = found["score"].numpy()
    names = [
        built.categories[guess if line < 0 else line]
        for line, guess in zip(declared.tolist(), found["category"].tolist(), strict=True)
    ]
    predicted = [built.categories[index] for index in found["category"].tolist()]
    limits = [fitted.threshold(name) for name in names]
    np.testing.assert_allclose(found["p_value"], fitted.p_value(scores, names), rtol=1e-6)
    np.testing.assert_allclose(
        found["p_value_predicted"], fitted.p_value(scores, predicted), rtol=1e-6
    )
    np.testing.assert_allclose(found["threshold"], limits, rtol=1e-6)
    np.testing.assert_array_equal(found["flagged"], fitted.flagged(scores, names))


def test_a_model_that_diffuses_is_refused() -> None:
    built = model(share=0.5)
    with pytest.raises(NormscapeError, match=r"prototype_share 0\.5"):
        graph_of(built)
