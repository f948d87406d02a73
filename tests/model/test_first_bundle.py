"""A bundle of the first release scores the same in this one, on a machine that has nothing else.

`python scripts/first_bundle.py` made it.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from normscape.files import sha256_file
from normscape.registry.bundle import FORMAT, INDEX, Bundle, BundleError

FIRST = Path(__file__).parents[1] / "fixtures" / "first-bundle"
BLOCKED = ("prefect", "dvc", "great_expectations", "evidently", "matplotlib", "ot", "boto3")
CHILD = """
import json, sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"{{name}} is not on this machine", name=name)

sys.meta_path.insert(0, Missing())

from pathlib import Path
import torch
from normscape.data.images import read_image
from normscape.registry.bundle import Bundle
from normscape.scoring.scorer import Scorer

torch.set_num_threads(1)
made = Path({made!r})
bundle = Bundle.load(made / "bundle")
scorer = Scorer.open(bundle, cache=Path("cache"))
results = {{}}
for name in {names!r}:
    found = scorer.score([read_image(made / name)], ["bolt"])[0]
    results[name] = {{
        "score": found.score, "map_mean": float(found.map.mean()), "p_value": found.p_value,
        "threshold": found.threshold, "flagged": found.flagged, "predicted": found.predicted,
        "category_distance": found.category_distance,
    }}
# What monitoring, recalibration and the registry read.
len(bundle.reference), bundle.gate.explain(), bundle.metrics["mean"], bundle.params, bundle.images
print(json.dumps(results))
"""


def score_alone(made: Path, folder: Path) -> Any:
    """Score in a process with an empty home and working folder, where much is not installed."""
    folder.mkdir()
    names = sorted(path.name for path in made.glob("*.png"))
    code = CHILD.format(blocked=set(BLOCKED), made=str(made), names=names)
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "HOME": str(folder),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert {path.name for path in folder.iterdir()} <= {"cache"}
    return json.loads(done.stdout.splitlines()[-1])


def same(found: Any, expected: Any) -> bool:
    if isinstance(expected, float):
        return bool(found == pytest.approx(expected, rel=1e-3))
    return bool(found == expected)


@pytest.mark.slow
def test_it_scores_as_it_did_without_anything_but_itself(tmp_path: Path) -> None:
    expected = json.loads((FIRST / "expected.json").read_text())
    found = score_alone(FIRST, tmp_path / "empty")
    assert set(found) == set(expected) == {"good.png", "defect.png"}
    for name, values in expected.items():
        different = {key for key, value in values.items() if not same(found[name][key], value)}
        assert not different, (name, found[name], values)
    assert found["defect.png"]["flagged"]
    assert not found["good.png"]["flagged"]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FIRST / "bundle", tmp_path / "bundle"))


def rewrite(folder: Path, name: str, **changes: Any) -> None:
    """Change a JSON file as a later release might write it, with a hash that matches."""
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    if name != INDEX:
        files = json.loads((folder / INDEX).read_text())["files"]
        rewrite(folder, INDEX, files=files | {name: sha256_file(path)})


def test_it_is_small() -> None:
    assert sum(path.stat().st_size for path in FIRST.rglob("*") if path.is_file()) < 300_000


def test_a_later_minor_format_loads_and_its_additions_are_left_alone(bundle: Path) -> None:
    rewrite(bundle, INDEX, format=FORMAT, minor=99, signature="of a later release")
    for name in ("metrics.json", "gate.json", "images.json", "provenance.json", "calibration.json"):
        rewrite(bundle, name, later={"deep": [1, 2, 3]})
    (bundle / "explanations.json").write_text("{}")
    files = json.loads((bundle / INDEX).read_text())["files"]
    rewrite(
        bundle,
        INDEX,
        files=files | {"explanations.json": sha256_file(bundle / "explanations.json")},
    )
    loaded = Bundle.load(bundle)
    assert loaded.gate == Bundle.load(FIRST / "bundle").gate
    assert set(loaded.calibration.categories) == {"bolt", "nut"}
    assert loaded.model.categories == ("bolt", "nut")


def test_a_later_major_format_is_refused_with_what_to_do(bundle: Path) -> None:
    rewrite(bundle, INDEX, format=FORMAT + 1)
    with pytest.raises(BundleError, match=r"made by a newer release.*update normscape"):
        Bundle.load(bundle)


def test_an_addition_that_scores_depend_on_is_refused(bundle: Path, tmp_path: Path) -> None:
    rewrite(bundle, "backbone.json", colour="lab")
    with pytest.raises(BundleError, match=r"backbone\.json .*'colour' is unknown to this release"):
        Bundle.load(bundle)
    other = Path(shutil.copytree(FIRST / "bundle", tmp_path / "other"))
    categories = json.loads((other / "calibration.json").read_text())["categories"]
    categories["bolt"]["night_shift"] = 2.0
    rewrite(other, "calibration.json", categories=categories)
    with pytest.raises(BundleError, match=r"'categories\.bolt\.night_shift' is unknown"):
        Bundle.load(other)
