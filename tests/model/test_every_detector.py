"""Every detector goes the same way: stages, gate, registry, scoring, export, back again."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from normscape.cli.main import app
from normscape.data.images import read_image
from normscape.detectors.kinds import NAMES
from normscape.export import Exported
from normscape.export.record import FORMATS
from normscape.files import read_json
from normscape.params import load_params
from normscape.registry.bundle import Bundle
from normscape.registry.contract import PRODUCTION
from normscape.registry.store import open_registry
from normscape.scoring.scorer import Scorer
from normscape.stages.runner import run_stage
from tests.unit.registry.project import git
from tests.unit.scoring.project import trained_once

pytestmark = pytest.mark.slow

EXPORTED = {"dpdiff": FORMATS[:1]}
"""Formats to go through; all of DPDiff without refinement have tests of their own."""


@pytest.mark.parametrize("name", NAMES)
def test_from_the_stages_into_production_and_back(
    name: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path_factory.mktemp(name) / "project"
    shutil.copytree(trained_once(tmp_path_factory.getbasetemp()), root)
    monkeypatch.chdir(root)
    content = yaml.safe_load(Path("params.yaml").read_text())
    content["detector"] |= {"name": name, "seed": 3}
    content["proad"] = {"prototypes": 16}
    content["refine"] = {
        "name": "drdc", "size": 32, "width": 8, "cells": [4, 8], "steps": 10, "max_p": 1.0,
    }  # fmt: skip
    content["gate"] = dict.fromkeys(
        ("min_mean_image_auroc", "min_worst_image_auroc", "min_mean_pixel_auroc"), 0.0
    ) | dict.fromkeys(
        ("max_false_positive_rate", "champion_tolerance", "champion_category_tolerance",
         "escape_tolerance", "false_alarm_tolerance"), 1.0,
    )  # fmt: skip
    Path("params.yaml").write_text(yaml.safe_dump(content))
    Path(".gitignore").write_text("/artifacts\n/.normscape\n/data\n/bundle\n")
    for arguments in (("init", "-q"), ("add", "."), ("commit", "-qm", "all")):
        git(root, *arguments)
    params = load_params(Path("params.yaml"))
    for stage in ("prototypes", "detector", "refine", "calibrate", "evaluate"):
        run_stage(stage, params)
    assert read_json(params.artifacts / "detector" / "model.json")["detector"]["name"] == name

    call("publish", "--no-promote", "--reason", "another detector")
    call("promote", "v0002", "--reason", "another detector")
    bundle = Bundle.load(open_registry(params).get(PRODUCTION))
    assert bundle.model.detector.name == name
    assert bundle.refiner is not None
    pictures = [read_image(path) for path in sorted(params.data.glob("*/test/hole/*.png"))[:3]]
    scorer = Scorer.open(bundle, cache=params.state / "cache")
    expected = scorer.score(pictures)
    bare = Scorer(scorer._backbone, bundle.model, bundle.calibration).score(pictures)
    assert all((one.map != two.map).any() for one, two in zip(expected, bare, strict=True))
    for kind in EXPORTED.get(name, FORMATS):
        call("export", "production", "--format", kind, "--out", kind)
        exported = Exported.load(Path(kind))
        assert exported.record.refine == {"max_p": 1.0}
        for found, wanted in zip(exported.score(pictures), expected, strict=True):
            assert found.flagged == wanted.flagged
            scale = bundle.calibration.categories[wanted.category].scale
            assert np.abs(found.map - wanted.map).max() < params.export.map_tolerance * scale
    call("rollback", "--reason", "no")
    assert open_registry(params).resolve(PRODUCTION) == "v0001"


def call(*arguments: str) -> None:
    done = CliRunner().invoke(app, ["models", *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
