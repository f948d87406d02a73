"""Round trips on a real, small model: the registry's bundle against the files that were written."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from normscape.backbones.runtime import cpu_has_bf16
from normscape.cli.main import app
from normscape.data.images import read_image
from normscape.errors import NormscapeError, UsageError
from normscape.export import Exported
from normscape.export import write as writing
from normscape.export.parity import parity_images
from normscape.export.record import FORMATS, FormatName, Record, check_format
from normscape.export.write import export_bundle
from normscape.params import Params, load_params
from normscape.registry.bundle import Bundle
from normscape.registry.store import open_registry
from normscape.review.recalibrate import recalibrate
from normscape.scoring.scorer import Scorer

pytestmark = pytest.mark.slow

DOCS = Path(__file__).parents[3] / "docs" / "export.md"


def bundle_of(params: Params, name: str = "production") -> Bundle:
    registry = open_registry(params)
    return Bundle.load(registry.get(registry.resolve(name)))


def export(params: Params, kind: FormatName, out: Path, name: str = "production") -> Record:
    bundle = bundle_of(params, name)
    images = parity_images(params, None, bundle.categories)
    return export_bundle(bundle, name, kind, out, images=images, params=params)


def normscape(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "normscape.cli", "models", "export", *arguments],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="session")
def artefacts(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The artefact of a format, written by the first who asks; OpenVINO's by the command line."""
    base = tmp_path_factory.mktemp("exported")

    def artefact(kind: str) -> Path:
        if kind == "openvino" and not (base / kind).exists():
            done = normscape(trained, "production", "--out", str(base / kind), "--json")
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout)["kind"] == "openvino"
        elif not (base / kind).exists():
            export(load_params(trained / "params.yaml"), check_format(kind), base / kind)
        return base / kind

    return artefact


@pytest.fixture
def pictures(trained: Path) -> list[Path]:
    return sorted((trained / "data").glob("*/test/*/*.png"))[:19]


@pytest.mark.parametrize("kind", FORMATS)
def test_an_artefact_scores_as_the_bundle(
    kind: str, artefacts: Callable[[str], Path], trained: Path, pictures: list[Path]
) -> None:
    params = load_params(trained / "params.yaml")
    scorer = Scorer.open(bundle_of(params), cache=params.state / "cache")
    exported = Exported.load(artefacts(kind))
    assert exported.known == scorer.known
    images = [read_image(path) for path in pictures]
    lines = (["nut", None, "washer", "bolt"] * 5)[:19]
    for first, count in ((0, 1), (1, 3), (3, 16)):
        part = slice(first, first + count)
        expected = scorer.score(images[part], lines[part])
        for found, wanted in zip(exported.score(images[part], lines[part]), expected, strict=True):
            scale = scorer.calibration.categories[wanted.category].scale
            assert abs(found.score - wanted.score) < params.export.score_tolerance * scale
            assert np.abs(found.map - wanted.map).max() < params.export.map_tolerance * scale
            assert found.map.dtype == wanted.map.dtype
            same = ("declared", "predicted", "category", "threshold", "flagged")
            assert [getattr(found, key) for key in same] == [getattr(wanted, key) for key in same]
            assert (found.p_value_declared is None) == (wanted.p_value_declared is None)
            assert found.category_distance == pytest.approx(wanted.category_distance, rel=1e-2)
    assert exported.score([]) == []


@pytest.mark.parametrize("kind", FORMATS)
def test_the_graph_itself_holds_the_thresholds(
    kind: str, artefacts: Callable[[str], Path], trained: Path
) -> None:
    calibration = bundle_of(load_params(trained / "params.yaml")).calibration
    exported = Exported.load(artefacts(kind))
    pixels = torch.rand(4, 3, 64, 64)
    for name in exported.known:
        found = exported.answers(pixels, [name] * 4)
        np.testing.assert_allclose(found["threshold"], calibration.threshold(name), rtol=1e-6)
        np.testing.assert_array_equal(
            found["flagged"], calibration.flagged(found["score"], [name] * 4)
        )
        np.testing.assert_allclose(
            found["p_value"], calibration.p_value(found["score"], [name] * 4), rtol=1e-5
        )


def test_the_record_says_what_it_was_made_from(
    artefacts: Callable[[str], Path], trained: Path
) -> None:
    bundle = bundle_of(load_params(trained / "params.yaml"))
    record = Record.load(artefacts("torch"))
    assert record.source["content_id"] == bundle.content_id
    thresholds = {item.name: item.threshold for item in record.categories}
    assert thresholds == {n: bundle.calibration.threshold(n) for n in bundle.categories}
    assert record.input["size"] == bundle.identity.input_size
    assert set(record.files) == {p.name for p in artefacts("torch").iterdir()} - {"export.json"}
    assert record.parity is not None
    assert record.parity["images"] == 24
    assert record.parity["categories"] == 2


@pytest.mark.parametrize("kind", FORMATS)
def test_it_runs_without_normscape_as_the_docs_say(
    kind: str, artefacts: Callable[[str], Path], pictures: list[Path], tmp_path: Path
) -> None:
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text(), flags=re.DOTALL)
    code = next(block for block in blocks if block.startswith(f"# {kind}"))
    assert "normscape" not in code
    (tmp_path / "line-7").symlink_to(artefacts(kind))
    (tmp_path / "images").mkdir()
    for row, path in enumerate(pictures[:5]):
        Image.open(path).save(tmp_path / "images" / f"{row}.png")
    absent = "import sys; sys.modules |= dict.fromkeys(['openvino_telemetry', 'normscape'])\n"
    done = subprocess.run(
        [sys.executable, "-I", "-c", absent + code],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    expected = Exported.load(artefacts(kind)).score([read_image(path) for path in pictures[:5]])
    for line, wanted in zip(done.stdout.splitlines(), expected, strict=True):
        _, name, score, flagged = line.split()
        assert name == wanted.predicted
        assert float(score) == pytest.approx(wanted.score, rel=1e-5)
        assert (flagged in ("True", "1")) == wanted.flagged


def test_changed_weights_leave_nothing_behind(
    project: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = writing.DetectorGraph

    def changed(*arguments):
        graph = honest(*arguments)
        graph.detector.bank.prototypes += 0.01 * torch.randn_like(graph.detector.bank.prototypes)
        graph.detector.bank.lengths.copy_(graph.detector.bank.prototypes.square().sum(dim=1))
        return graph

    monkeypatch.setattr(writing, "DetectorGraph", changed)
    with pytest.raises(NormscapeError, match=r"not written.*scores differ.*fault"):
        export(project, "openvino", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["project"]


def test_thresholds_that_differ_are_found(
    project: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = writing.DetectorGraph

    def changed(model, calibration):
        wider = {
            name: replace(item, scale=2 * item.scale, threshold=0.0)
            for name, item in calibration.categories.items()
        }
        return honest(model, replace(calibration, categories=wider))

    monkeypatch.setattr(writing, "DetectorGraph", changed)
    with pytest.raises(NormscapeError, match=r"p-values differ.*decisions are the opposite"):
        export(project, "openvino", tmp_path / "out")


@pytest.mark.skipif(not cpu_has_bf16(), reason="this CPU has no bf16")
def test_thresholds_of_bf16_go_to_openvino_and_not_to_torch(
    project: Params, tmp_path: Path
) -> None:
    made = recalibrate(project, runtime="openvino", precision="bf16", allow_dirty=True)
    assert made.version is not None
    record = export(project, "openvino", tmp_path / "half", made.version)
    assert record.precision == {"backbone": "bf16", "detector": "fp32"}
    with pytest.raises(NormscapeError, match=r"openvino in bf16.*recalibrate --runtime torch"):
        export(project, "torch", tmp_path / "full", made.version)
    assert not (tmp_path / "full").exists()


def test_a_damaged_artefact_is_not_loaded(artefacts: Callable[[str], Path], tmp_path: Path) -> None:
    source = artefacts("onnx")
    folder = tmp_path / "copy"
    folder.mkdir()
    for path in source.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    weights = folder / "scorer.onnx.data"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    with pytest.raises(NormscapeError, match=r"scorer\.onnx\.data is damaged"):
        Exported.load(folder)
    record = json.loads((folder / "export.json").read_text())
    for name in ("../export.json", "absent.bin"):
        record["files"] = {name: "0" * 64}
        (folder / "export.json").write_text(json.dumps(record))
        with pytest.raises(NormscapeError, match="missing or no plain file"):
            Exported.load(folder)
    (folder / "export.json").write_text(json.dumps({**record, "format": 9}))
    with pytest.raises(NormscapeError, match="format 9"):
        Exported.load(folder)


def test_what_cannot_be_exported_is_said_before_any_work(project: Params, tmp_path: Path) -> None:
    bundle = bundle_of(project)
    with pytest.raises(UsageError, match="expected one of openvino, onnx, torch"):
        check_format("tensorrt")
    with pytest.raises(UsageError, match="exists"):
        export_bundle(bundle, "v", "onnx", tmp_path, images=[], params=project)
    with pytest.raises(UsageError, match="has images: 0"):
        parity_images(project, tmp_path / "nothing", bundle.categories)


def test_images_to_compare_on_are_spread(project: Params) -> None:
    known = bundle_of(project).categories
    few = project.model_copy(update={"export": project.export.model_copy(update={"images": 8})})
    chosen = [path.relative_to(project.data).parts for path in parity_images(few, None, known)]
    assert {(parts[0], parts[2]) for parts in chosen} == {
        (category, kind) for category in known for kind in ("good", "hole")
    }
    assert len(chosen) == 8
    assert len(parity_images(few, project.data, known)) == 8


def test_the_command_line_refuses_before_any_work(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained)
    command = ["models", "export", "production", "--out", str(tmp_path)]
    with pytest.raises(UsageError, match="exists; name a folder that does not, or remove it"):
        CliRunner().invoke(app, command, catch_exceptions=False)


def test_a_file_that_is_not_listed_is_refused(
    artefacts: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(artefacts("torch"), tmp_path / "copy"))
    (folder / ".hidden").write_text("left by a file system")
    Exported.load(folder)
    record = json.loads((folder / "export.json").read_text())
    for files in ({}, ["scorer.pt2"], None):
        (folder / "export.json").write_text(json.dumps({**record, "files": files}))
        with pytest.raises(NormscapeError, match=r"does not (belong to|describe) "):
            Exported.load(folder)
