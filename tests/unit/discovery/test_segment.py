"""SAM and Grounded SAM as the object prior: real networks of small size with random weights."""

import json
import shutil
import sys
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from normscape.discovery.assign import assign
from normscape.discovery.eyes import Eyes, foreground
from normscape.discovery.learn import discover
from normscape.discovery.regions import SIDE
from normscape.discovery.segment import Segmenter, _chosen, _middle, open_segmenter
from normscape.discovery.views import View
from normscape.errors import NormscapeError, UsageError

from .support import KINDS, NOTHING, PARAMS, SmallBackbone, many

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "?", "an", "object", "bottle")
PICTURE = Image.fromarray(
    (np.random.default_rng(0).random((48, 80, 3)) * 255).astype(np.uint8), mode="RGB"
)


@pytest.fixture(scope="module")
def sam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `save_pretrained` writes it."""
    from transformers import SamConfig, SamImageProcessor, SamModel, SamProcessor

    folder = tmp_path_factory.mktemp("sam")
    torch.manual_seed(0)
    config = SamConfig(
        vision_config={
            "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 64,
            "patch_size": 16, "output_channels": 16, "mlp_dim": 16, "window_size": 0,
            "global_attn_indexes": [0], "num_pos_feats": 8,
        },
        prompt_encoder_config={
            "hidden_size": 16, "image_size": 64, "patch_size": 16, "mask_input_channels": 4,
        },
        mask_decoder_config={
            "hidden_size": 16, "mlp_dim": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
            "iou_head_depth": 2, "iou_head_hidden_dim": 16,
        },
    )  # fmt: skip
    SamModel(config).save_pretrained(folder)
    sizes = {"mask_size": {"longest_edge": 16}, "mask_pad_size": {"height": 16, "width": 16}}
    square = {"size": {"longest_edge": 64}, "pad_size": {"height": 64, "width": 64}}
    SamProcessor(SamImageProcessor(**square, **sizes)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def grounding(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of Grounding DINO."""
    from transformers import (
        BertTokenizer,
        GroundingDinoConfig,
        GroundingDinoForObjectDetection,
        GroundingDinoImageProcessor,
        GroundingDinoProcessor,
    )

    folder = tmp_path_factory.mktemp("grounding")
    torch.manual_seed(0)
    config = GroundingDinoConfig(
        backbone_config={
            "model_type": "swin", "image_size": 64, "embed_dim": 8, "depths": [1, 1, 1, 1],
            "num_heads": [1, 1, 1, 1], "window_size": 2, "out_indices": [2, 3, 4],
        },
        text_config={
            "model_type": "bert", "vocab_size": len(WORDS), "hidden_size": 16,
            "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16,
        },
        num_queries=6, d_model=32, encoder_layers=1, decoder_layers=2, encoder_ffn_dim=16,
        decoder_ffn_dim=16, encoder_attention_heads=2, decoder_attention_heads=2,
        encoder_n_points=2, decoder_n_points=2, num_feature_levels=3, max_text_len=16,
    )  # fmt: skip
    GroundingDinoForObjectDetection(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    GroundingDinoProcessor(
        GroundingDinoImageProcessor(size={"shortest_edge": 64, "longest_edge": 96}),
        BertTokenizer(str(folder / "vocab.txt")),
    ).save_pretrained(folder)
    return folder


def test_sam_sees_the_same_object_every_time(sam: Path) -> None:
    first, again = Segmenter(sam, None, "an object."), Segmenter(sam, None, "a bottle.")
    mask = first(PICTURE)
    assert mask is not None
    assert mask.shape == (48, 80)
    assert 0.02 <= mask.mean() <= 0.95
    np.testing.assert_array_equal(mask, again(PICTURE))
    # Without Grounding DINO the prompt decides nothing.
    assert first.identity == again.identity == {"sam": first.identity["sam"]}


def test_grounded_sam_asks_for_what_the_prompt_finds(
    sam: Path, grounding: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from normscape.discovery import segment

    segmenter = Segmenter(sam, grounding, "An object")
    assert segmenter.identity.keys() == {"sam", "grounding-dino", "prompt"}
    monkeypatch.setattr(segment, "_BOX_SCORE", 1.1)
    assert segmenter(PICTURE) is None
    monkeypatch.setattr(segment, "_BOX_SCORE", 0.0)
    mask = segmenter(PICTURE)
    assert mask is None or mask.shape == (48, 80)
    boxes = segmenter._boxes(PICTURE)
    assert boxes
    assert all(len(box) == 4 for box in boxes)


def test_the_best_mask_that_is_no_speck_and_not_everything_is_taken() -> None:
    masks = np.zeros((2, 3, 10, 10), dtype=bool)
    masks[0, 0] = True
    masks[0, 1, :5] = True
    masks[0, 2, 0, 0] = True
    masks[1, 2, 8:, :5] = True
    found = _chosen(masks, np.array([[0.9, 0.5, 0.8], [0.9, 0.9, 0.1]]))
    assert found is not None
    assert found[:5].all()
    assert found[8:, :5].all()
    assert found.sum() == 60
    assert _chosen(masks[:, :1], np.ones((2, 1))) is None


def test_the_middle_is_asked_for_and_the_corners_are_not() -> None:
    asked = _middle(200, 100)
    points, labels = asked["input_points"][0][0], asked["input_labels"][0][0]
    assert points[0] == [100.0, 50.0]
    assert sorted(points[1:]) == [[4.0, 2.0], [4.0, 98.0], [196.0, 2.0], [196.0, 98.0]]
    assert labels == [1, 0, 0, 0, 0]


def test_a_view_sees_its_part_of_the_mask() -> None:
    mask = np.zeros((SIDE, SIDE), dtype=np.float32)
    mask[: SIDE // 2] = 1.0  # the upper half is the object
    half = SIDE / 2
    views = [
        View((0.0, 0.0, float(SIDE), float(SIDE))),
        View((0.0, 0.0, float(SIDE), float(SIDE)), turn=1),
        View((0.0, half, half, float(SIDE))),
        View((0.0, 0.0, float(SIDE), float(SIDE))),
    ]
    found = foreground(torch.zeros(4, 1, 2, 2), None, [mask, mask, mask, None], views, 8)
    assert found[0, 0, :4].min() == 1.0
    assert found[0, 0, 4:].max() == 0.0
    assert found[1, 0, :, :4].min() == 1.0  # turned with the picture, counter-clockwise
    assert found[1, 0, :, 4:].max() == 0.0
    # Nothing of the object in the view, or no mask: everything counts.
    assert found[2:].min() == 1.0


def test_kinds_are_sorted_with_a_segmenter_and_anew_with_another_one(sam: Path) -> None:
    params = PARAMS.model_copy(update={"object_prior": "sam", "sam": sam})
    eyes = Eyes(SmallBackbone(), open_segmenter(params, Path("/")))
    flagged = many(KINDS, 6)
    found = discover(eyes, flagged, NOTHING, params)
    known = found.catalogue
    assert known.knowledge is not None
    assert known.knowledge.prior is None
    assert known.backbone["object_prior"] == eyes.segmenter.identity
    assert assign(eyes, many(["spot"], 2, start=50), known, params)[0].nearest
    plain = Eyes(SmallBackbone())
    with pytest.raises(UsageError, match="learns them anew"):
        assign(plain, many(["spot"], 1), known, PARAMS)
    assert discover(plain, flagged, known, PARAMS).refitted
    assert discover(eyes, flagged, known, params).catalogue is known


def test_where_no_picture_has_an_object_everything_counts_and_it_is_said() -> None:
    class Blind:
        identity: ClassVar[dict[str, str]] = {"sam": "x"}

        def __call__(self, image: Image.Image) -> None:
            return None

    params = PARAMS.model_copy(update={"object_prior": "sam"})
    found = discover(Eyes(SmallBackbone(), Blind()), many(KINDS, 6), NOTHING, params)
    assert [note for note in found.notes if "the whole image counts as object" in note]


def test_what_cannot_be_used_is_refused(
    sam: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(folder: Path | None) -> Segmenter | None:
        params = PARAMS.model_copy(update={"object_prior": "sam", "sam": folder})
        return open_segmenter(params, tmp_path)

    assert open_segmenter(PARAMS, tmp_path) is None
    with pytest.raises(UsageError, match=r"discovery\.sam is null; expected the folder"):
        opened(None)
    with pytest.raises(UsageError, match=r"missing has no config\.json; expected a folder"):
        opened(Path("missing"))
    copy = shutil.copytree(sam, tmp_path / "copy")
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(UsageError, match="pickled weights are never read"):
        opened(Path("copy"))
    (copy / "model.safetensors").write_bytes(b"\0" * 64)
    with pytest.raises(NormscapeError, match=r"cannot be used \(.*restore them"):
        opened(Path("copy"))
    tensors = load_file(sam / "model.safetensors")
    name = next(name for name in tensors if name.endswith("mlp.lin1.weight"))
    del tensors[name]
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(NormscapeError, match=f"lack {name}"):
        opened(Path("copy"))
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"model_type": "sam2"}))
    with pytest.raises(UsageError, match=r"model_type sam2; expected a folder .* model_type sam "):
        opened(Path("copy"))
    (copy / "config.json").write_text("{")
    with pytest.raises(UsageError, match=r"config\.json cannot be read"):
        opened(Path("copy"))
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UsageError, match="needs the package transformers; install"):
        opened(sam)
