"""The complete model: determinism, independence of batch mates, the folder on disk."""

import json

import pytest
import torch

from normscape.detectors.model import InspectionModel
from normscape.errors import NormscapeError, UsageError


@pytest.fixture
def model(prototypes, detector, params, images) -> InspectionModel:
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in detector.denoiser.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    complete = InspectionModel(
        prototypes.transform, detector, prototypes.head,
        categories=prototypes.categories, maps=params.maps, norm_power=0.0,
    ).eval()  # fmt: skip
    with torch.no_grad():
        detector.fit_normalisation(detector.components(images(8, 2)))
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


def test_normal_components_are_standardised(model, images):
    standard = model.detector.components(images(40, 7)) - model.detector.centre
    standard = standard / model.detector.spread
    assert standard.mean().abs() < 0.1
    assert 0.8 < standard.std() < 1.2


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
        lambda folder: edit(folder, lambda c: c["detector"].update(width=32)),
        lambda folder: edit(folder, lambda c: c["detector"].pop("blocks")),
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
        model.detector.denoiser.inward.weight[0, 0] = float("nan")
    model.save(tmp_path)
    with pytest.raises(NormscapeError, match="NaN"):
        InspectionModel.load(tmp_path)


def edit(folder, change) -> None:
    path = folder / "model.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
