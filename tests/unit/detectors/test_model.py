"""The complete model: determinism, independence of batch mates, the folder on disk."""

import json

import pytest
import torch

from normscape.detectors.model import InspectionModel
from normscape.errors import NormscapeError, UsageError
from normscape.stages.detector import build

ROUTES = torch.tensor([[0, 1]])


DIFFUSION, DISTANCE, PROAD = (
    {"prototype_share": 0.6}, {"prototype_share": 1.0}, {"name": "proad"},
)  # fmt: skip


@pytest.fixture(params=[DIFFUSION, DISTANCE, PROAD], ids=["diffusion", "distance", "proad"])
def model(request, prototypes, params, images) -> InspectionModel:
    settings = params.detector.model_copy(update=request.param)
    detector = build(params.model_copy(update={"detector": settings}), prototypes)
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in detector.named_parameters():
            if "bank" not in name:
                parameter.add_(0.1 * torch.randn_like(parameter))
    complete = InspectionModel(
        prototypes.transform, detector, prototypes.head,
        categories=prototypes.categories, maps=params.maps, routed_categories=2, route_margin=100.0,
    ).eval()  # fmt: skip
    detector.fit_scales((image, ROUTES) for image in images(8, 2).split(1))
    return complete


def as_maps(tokens: torch.Tensor) -> list[torch.Tensor]:
    return [tokens.transpose(1, 2).reshape(len(tokens), 8, 8, 8)]


def test_shapes_and_category(model, images):
    prediction = model(as_maps(images(4, 5)))
    assert prediction.score.shape == prediction.category_distance.shape == (4,)
    assert prediction.map.shape == (4, 32, 32)
    assert prediction.category.tolist() == [0, 1, 0, 1]
    assert prediction.category.dtype == torch.long


def test_scores_do_not_depend_on_batch_mates_nor_on_the_run(model, images):
    maps = as_maps(images(7, 5))
    together, again = model(maps), model(maps)
    alone = [model([level[i : i + 1] for level in maps]) for i in range(7)]
    for name, value in vars(together).items():
        assert torch.equal(value, vars(again)[name])
        assert torch.equal(value, torch.cat([vars(single)[name] for single in alone]))


def test_scores_do_not_depend_on_the_global_generator(model, images):
    torch.manual_seed(1)
    first = model(as_maps(images(2, 5))).score
    torch.manual_seed(2)
    assert torch.equal(first, model(as_maps(images(2, 5))).score)


def test_cached_and_fresh_features_score_alike(model, images):
    maps = as_maps(images(3, 5))
    assert torch.equal(model(maps).score, model([level.half().float() for level in maps]).score)


@pytest.mark.parametrize("model", [DIFFUSION], indirect=True)
def test_components_are_fused_in_units_of_their_spread(model, images):
    found = model.detector.components(images(40, 7), ROUTES.expand(40, -1))
    standard = (found / model.detector.spread).flatten(0, 1)
    assert ((standard.std(dim=0) - 1.0).abs() < 0.2).all()
    fused = model.detector.fuse(found).flatten(0, 1)
    assert (fused > 0).all()
    torch.testing.assert_close(fused[:, 0], 0.6 * standard[:, 0] + 0.4 * standard[:, 2])


@pytest.mark.parametrize("model", [DISTANCE], indirect=True)
def test_without_diffusion_the_map_is_the_distance_and_nothing_is_left_of_the_denoiser(
    model, images
):
    tokens = images(3, 7)
    detector = model.detector
    inside = [detector.spaces.enter(tokens[i], i % 2) for i in range(3)]
    expected = [detector.local_bank(inside[i], i % 2).distance.sqrt() for i in range(3)]
    found = detector.token_scores(tokens, ROUTES.expand(3, -1))
    torch.testing.assert_close(found[..., 0], torch.stack(expected))
    assert not [name for name in model.state_dict() if "denoiser" in name or "noise" in name]
    with pytest.raises(ValueError, match="no denoiser"):
        model.detector.denoise(tokens, torch.ones(3), None)


def test_an_image_sent_to_two_categories_settles_in_its_own(model, images):
    maps = as_maps(images(6, 5))
    both = model(maps)
    model.routed_categories = 1
    assert torch.equal(model(maps).score, both.score)
    model.head.centres.copy_(
        model.head.centres.flip(0)
    )  # every image now comes to the wrong one first
    assert (model(maps).score > both.score).all()
    model.routed_categories = 2
    assert torch.equal(model(maps).score, both.score)


def test_a_category_beyond_the_margin_is_not_asked(model, images):
    maps = as_maps(images(6, 5))
    both = model(maps)
    model.route_margin = 1.0
    assert torch.equal(model(maps).score, both.score)
    model.head.centres.copy_(model.head.centres.flip(0))
    assert (model(maps).score > both.score).all()


def test_what_is_scored_with_is_what_is_stored(model, tmp_path):
    bank = model.detector.local_bank
    assert bank.prototypes.dtype == torch.bfloat16
    assert not bank.prototypes.requires_grad
    model.save(tmp_path)
    loaded = InspectionModel.load(tmp_path).detector.local_bank
    assert loaded.prototypes.dtype == torch.bfloat16
    assert torch.equal(loaded.prototypes, bank.prototypes)


def test_save_and_load_give_the_same_scores(model, images, tmp_path):
    model.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "model.safetensors"]
    loaded = InspectionModel.load(tmp_path)
    assert loaded.categories == ("bolt", "nut")
    assert json.loads((tmp_path / "model.json").read_text())["categories"] == ["bolt", "nut"]
    before, after = model(as_maps(images(3, 5))), loaded(as_maps(images(3, 5)))
    assert all(torch.equal(value, vars(after)[name]) for name, value in vars(before).items())


def test_no_model_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match=r"model\.safetensors is missing"):
        InspectionModel.load(tmp_path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "model.safetensors").write_bytes(b"x" * 100),
        lambda folder: (folder / "model.json").write_text("{"),
        lambda folder: edit(folder, lambda c: c.update(format=99)),
        lambda folder: edit(folder, lambda c: c["detector"].update(dimensions=4)),
        lambda folder: edit(folder, lambda c: c["detector"].pop("width")),
        lambda folder: edit(folder, lambda c: c["detector"].update(name="other")),
        lambda folder: edit(folder, lambda c: c.update(maps={"size": 1})),
        lambda folder: edit(folder, lambda c: c.pop("transform")),
        lambda folder: edit(folder, lambda c: c["categories"].append("third")),
    ],
)
def test_a_damaged_model_is_one_clear_error(model, tmp_path, damage):
    model.save(tmp_path)
    damage(tmp_path)
    with pytest.raises(NormscapeError, match="cannot be read"):
        InspectionModel.load(tmp_path)


def test_nan_weights_are_refused(model, tmp_path):
    with torch.no_grad():
        model.detector.local_bank.prototypes[0, 0] = float("nan")
    model.save(tmp_path)
    with pytest.raises(NormscapeError, match="NaN"):
        InspectionModel.load(tmp_path)


def edit(folder, change) -> None:
    path = folder / "model.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
