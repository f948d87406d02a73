import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from normscape.backbones import load_backbone
from normscape.backbones.facts import find_facts
from normscape.backbones.network import feature_shapes
from normscape.backbones.sources import locate
from normscape.backbones.weights import Weights, load_weights, read_tensors, tensors_sha256
from normscape.errors import NormscapeError, UsageError
from normscape.sections.model import BackboneParams

NAME = "tf_efficientnet_lite0"


@pytest.fixture(scope="module")
def packaged() -> Weights:
    path = locate("package", NAME, root=Path(), cache=Path())
    return load_weights(NAME, "package", path)


def test_hash_does_not_depend_on_the_container(packaged: Weights, tmp_path: Path) -> None:
    save_file(packaged.tensors, tmp_path / "w.safetensors")
    torch.save({"state_dict": packaged.tensors}, tmp_path / "w.pth")
    for name in ("w.safetensors", "w.pth"):
        assert load_weights(NAME, name, tmp_path / name).sha256 == packaged.sha256


def test_hash_sees_names_types_shapes_and_values() -> None:
    base = {"a": torch.tensor([1.0, 2.0])}
    others = [
        {"b": torch.tensor([1.0, 2.0])},
        {"a": torch.tensor([[1.0, 2.0]])},
        {"a": torch.tensor([1.0, 2.0]).half()},
        {"a": torch.tensor([1.0, 2.5])},
    ]
    hashes = {tensors_sha256(state) for state in (base, *others)}
    assert len(hashes) == 5


def test_hash_does_not_depend_on_order_or_layout() -> None:
    a, b = torch.arange(6.0).view(2, 3), torch.tensor(3)
    assert tensors_sha256({"a": a, "b": b}) == tensors_sha256({"b": b, "a": a.T.contiguous().T})


@pytest.mark.parametrize("source", ["package", "w.safetensors"])
def test_unknown_network_offers_close_names(source: str, tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "w.safetensors")
    params = BackboneParams(name="tf_eficientnet_lite2", weights=source)
    with pytest.raises(UsageError, match="tf_efficientnet_lite2"):
        load_backbone(params, root=tmp_path, cache=tmp_path)


def test_unknown_tag_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="bogus"):
        load_backbone(BackboneParams(name=f"{NAME}.bogus"), cache=tmp_path)


def test_network_without_a_package(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no package holds weights of 'resnet18'"):
        locate("package", "resnet18", root=tmp_path, cache=tmp_path)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"weights/none\.safetensors"):
        locate("weights/none.safetensors", NAME, root=tmp_path, cache=tmp_path)


def test_weights_of_another_network_are_refused(packaged: Weights, tmp_path: Path) -> None:
    tensors = dict(packaged.tensors)
    tensors["surplus"] = torch.zeros(1)
    tensors["conv_stem.weight"] = torch.zeros(16, 3, 3, 3)
    del tensors["bn1.bias"]
    path = tmp_path / "w.safetensors"
    save_file(tensors, path)
    with pytest.raises(UsageError) as caught:
        load_weights(NAME, "w.safetensors", path)
    for part in (str(path), "misses bn1.bias", "unknown surplus", "instead of (32, 3, 3, 3)"):
        assert part in str(caught.value)


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
def test_damaged_file_is_one_clear_error(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x00\x01 not weights")
    with pytest.raises(NormscapeError, match=name):
        load_weights(NAME, name, tmp_path / name)


def test_code_in_a_torch_file_is_not_run(tmp_path: Path) -> None:
    witness = tmp_path / "ran"

    class Payload:
        def __reduce__(self) -> tuple[object, tuple[Path]]:
            return Path.touch, (witness,)

    (tmp_path / "w.pth").write_bytes(pickle.dumps({"a": Payload()}, protocol=2))
    with pytest.raises(NormscapeError, match=r"w\.pth"):
        load_weights(NAME, "w.pth", tmp_path / "w.pth")
    assert not witness.exists()


def test_facts_are_recomputed_when_the_file_changes(packaged: Weights, tmp_path: Path) -> None:
    path, cache = tmp_path / "w.safetensors", tmp_path / "cache"
    save_file(packaged.tensors, path)
    question = {"input_size": 256, "levels": (2, 3), "cache": cache}
    first = find_facts(NAME, "w.safetensors", path, **question)  # type: ignore[arg-type]
    assert first.shapes == ((40, 32, 32), (112, 16, 16))
    tensors = packaged.tensors | {"bn1.bias": packaged.tensors["bn1.bias"] + 1}
    save_file(tensors, path)
    second = find_facts(NAME, "w.safetensors", path, **question)  # type: ignore[arg-type]
    assert second.weights_sha256 != first.weights_sha256


def test_impossible_levels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"backbone\.levels is \[2, 9\]"):
        load_backbone(BackboneParams(name=NAME, levels=(2, 9)), cache=tmp_path)


def test_input_size_that_the_patches_do_not_fill_is_refused() -> None:
    with pytest.raises(UsageError, match=r"input_size is 256.*stride of 14"):
        feature_shapes("vit_small_patch14_dinov2", 256, (3,))
    assert feature_shapes("vit_small_patch14_dinov2", 224, (3, 7)) == ((384, 16, 16),) * 2


def test_a_compressed_torch_file_is_refused_unopened(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"x")
        with archive.open("archive/data/0", "w") as stream:
            for _ in range(100):
                stream.write(bytes(1 << 20))
    assert path.stat().st_size < 200_000
    with pytest.raises(NormscapeError, match="compressed archive"):
        read_tensors(path)
    torch.save({"weight": torch.ones(3)}, tmp_path / "good.pth")
    assert set(read_tensors(tmp_path / "good.pth")) == {"weight"}
