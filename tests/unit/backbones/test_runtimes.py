"""The runtimes agree on real photographs; what is recorded is what ran."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from normscape.backbones import load_backbone, load_identity, select_device
from normscape.backbones.conversion import MAX_RELATIVE_ERROR
from normscape.backbones.runtime import cpu_has_bf16, resolve
from normscape.errors import NormscapeError, UsageError
from normscape.sections.model import BackboneParams

NAME = "tf_efficientnet_lite0"

needs_cpu = pytest.mark.skipif(
    select_device().type == "cuda", reason="auto means something else beside a GPU"
)
needs_bf16 = pytest.mark.skipif(not cpu_has_bf16(), reason="this CPU has no bfloat16")


def params(**changes: object) -> BackboneParams:
    return BackboneParams.model_validate({"name": NAME, **changes})


def errors(found: list[Tensor], expected: list[Tensor]) -> list[float]:
    return [float((a - b).norm() / b.norm()) for a, b in zip(found, expected, strict=True)]


@pytest.fixture(scope="module")
def reference(cache: Path, photographs: Tensor) -> list[Tensor]:
    backbone = load_backbone(params(runtime="torch", precision="fp32"), cache=cache)
    return [level.cpu() for level in backbone(photographs)]


def test_openvino_fp32_agrees_with_torch(
    cache: Path, photographs: Tensor, reference: list[Tensor]
) -> None:
    backbone = load_backbone(params(runtime="openvino", precision="fp32"), cache=cache)
    found = backbone(photographs)
    assert [tuple(level.shape[1:]) for level in found] == list(backbone.shapes)
    assert max(errors(found, reference)) < 1e-4


@needs_bf16
def test_openvino_bf16_stays_within_the_bound(
    cache: Path, photographs: Tensor, reference: list[Tensor]
) -> None:
    found = load_backbone(params(runtime="openvino", precision="bf16"), cache=cache)(photographs)
    assert max(errors(found, reference)) < MAX_RELATIVE_ERROR
    for a, b in zip(found, reference, strict=True):
        cosine = torch.nn.functional.cosine_similarity(a, b, dim=1)
        assert float(cosine.mean()) > 0.995


@needs_cpu
def test_features_do_not_depend_on_batch_mates(cache: Path, photographs: Tensor) -> None:
    backbone = load_backbone(params(), cache=cache)
    together = backbone(photographs)
    for row in (0, 5):
        alone = backbone(photographs[row : row + 1])
        assert all(torch.equal(a[0], b[row]) for a, b in zip(alone, together, strict=True))


@needs_cpu
def test_auto_is_resolved_in_the_identity(cache: Path) -> None:
    identity = load_backbone(params(), cache=cache).identity
    assert identity.runtime == "openvino"
    assert identity.precision == ("bf16" if cpu_has_bf16() else "fp32")


@needs_cpu
def test_precision_that_is_not_there_is_refused() -> None:
    with pytest.raises(UsageError, match="bf16"):
        resolve("torch", "bf16")


def test_a_bundle_gets_the_runtime_it_was_made_with(cache: Path, reference: list[Tensor]) -> None:
    made = load_backbone(params(runtime="openvino", precision="fp32"), cache=cache).identity
    again = load_identity(made, runtime="openvino", precision="fp32", cache=cache)
    assert again.identity == made
    other = load_identity(made, runtime="torch", precision="fp32", cache=cache)
    assert other.identity.key != made.key


@needs_cpu
def test_a_bundle_from_a_gpu_shows_that_this_is_another_runtime(cache: Path) -> None:
    here = load_backbone(params(), cache=cache).identity
    elsewhere = replace(here, runtime="torch", precision="fp16")
    assert load_identity(elsewhere, cache=cache).identity == here


def test_other_weights_than_the_bundle_was_made_with_are_refused(cache: Path) -> None:
    made = load_backbone(params(runtime="torch"), cache=cache).identity
    with pytest.raises(NormscapeError, match="restore those weights"):
        load_identity(replace(made, weights_sha256="0" * 64), cache=cache)


@pytest.mark.slow
@needs_cpu
def test_damaged_conversion_is_made_again(tmp_path: Path, photographs: Tensor) -> None:
    wanted = params(levels=(1,), precision="fp32")
    (expected,) = load_backbone(wanted, cache=tmp_path)(photographs[:1])
    (binary,) = tmp_path.glob("openvino/*/model.bin")
    content = bytearray(binary.read_bytes())
    content[1000] ^= 0xFF
    binary.write_bytes(content)
    (found,) = load_backbone(wanted, cache=tmp_path)(photographs[:1])
    assert torch.equal(found, expected)
    assert binary.read_bytes() != bytes(content)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "levels", "shape"),
    [
        ("vit_tiny_patch16_224", (2, 5), (192, 16, 16)),  # position embeddings are resampled
        ("convnext_atto", (1, 2), (80, 32, 32)),
    ],
)
def test_other_families_from_a_file(
    name: str, levels: tuple[int, ...], shape: tuple[int, ...], tmp_path: Path, photographs: Tensor
) -> None:
    import timm

    torch.manual_seed(0)
    save_file(timm.create_model(name, num_classes=0).state_dict(), tmp_path / "w.safetensors")
    maps = {}
    for runtime in ("torch", "openvino"):
        wanted = BackboneParams(
            name=name, weights="w.safetensors", levels=levels, runtime=runtime, precision="fp32"
        )
        backbone = load_backbone(wanted, root=tmp_path, cache=tmp_path / "cache")
        maps[runtime] = [level.cpu() for level in backbone(photographs[:2])]
        assert backbone.shapes[0] == shape
    assert max(errors(maps["openvino"], maps["torch"])) < 1e-4


def test_channels_last_networks_give_channels_first_maps() -> None:
    from normscape.backbones.network import feature_shapes

    assert feature_shapes("swin_tiny_patch4_window7_224", 256, (1, 2)) == (
        (192, 32, 32),
        (384, 16, 16),
    )


@pytest.mark.slow
@needs_cpu
def test_conversion_sends_nothing_and_a_second_start_needs_no_timm(tmp_path: Path) -> None:
    program = """
import json, socket, sys
calls = []
real = socket.socket.connect
def connect(self, address):
    calls.append(str(address))
    return real(self, address)
socket.socket.connect = connect
from pathlib import Path
import torch
from normscape.backbones import load_backbone
from normscape.sections.model import BackboneParams
cache = Path(sys.argv[1])
backbone = load_backbone(BackboneParams(name="tf_efficientnet_lite0"), cache=cache)
backbone(torch.rand(1, 3, 256, 256))
print(json.dumps({"calls": calls, "timm": "timm" in sys.modules}))
"""
    home = tmp_path / "home"
    home.mkdir()
    answers = [
        json.loads(
            subprocess.run(
                [sys.executable, "-c", program, str(tmp_path / "cache")],
                capture_output=True,
                text=True,
                check=True,
                env={"HOME": str(home), "PATH": "/usr/bin:/bin"},
            ).stdout
        )
        for _ in range(2)
    ]
    assert [answer["calls"] for answer in answers] == [[], []]
    assert [answer["timm"] for answer in answers] == [True, False]
    assert not (home / "intel").exists()
