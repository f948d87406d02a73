from dataclasses import replace

import pytest

from normscape.backbones import BackboneIdentity
from normscape.errors import NormscapeError

IDENTITY = BackboneIdentity(
    name="tf_efficientnet_lite0",
    weights="package",
    weights_sha256="ab" * 32,
    input_size=256,
    levels=(2, 3, 4),
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
    runtime="openvino",
    precision="bf16",
)


def test_same_tensors_from_elsewhere_have_the_same_key() -> None:
    assert replace(IDENTITY, weights="s3://models/lite0.safetensors").key == IDENTITY.key


@pytest.mark.parametrize(
    "change",
    [
        {"weights_sha256": "cd" * 32},
        {"input_size": 320},
        {"levels": (1, 2, 3)},
        {"mean": (0.4, 0.5, 0.5)},
        {"runtime": "torch"},
        {"precision": "fp32"},
    ],
)
def test_what_shapes_features_changes_the_key(change: dict[str, object]) -> None:
    other = replace(IDENTITY, **change)  # type: ignore[arg-type]
    assert other.key != IDENTITY.key
    assert len(other.key) == 16


def test_identity_survives_json() -> None:
    assert BackboneIdentity.from_dict(IDENTITY.as_dict()) == IDENTITY


def test_damaged_identity_is_refused() -> None:
    content = IDENTITY.as_dict()
    del content["precision"]
    with pytest.raises(NormscapeError, match="precision"):
        BackboneIdentity.from_dict(content)


def test_another_resize_rule_is_refused() -> None:
    with pytest.raises(NormscapeError, match="resize"):
        BackboneIdentity.from_dict(IDENTITY.as_dict() | {"resize": "nearest"})
