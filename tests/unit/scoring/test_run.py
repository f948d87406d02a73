import json
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from normscape.backbones import runtime
from normscape.backbones.runtime import resolve
from normscape.cli.main import app
from normscape.cli.review import review_app
from normscape.detectors.model import InspectionModel, Prediction
from normscape.errors import NormscapeError, UsageError
from normscape.files import sha256_file
from normscape.novelty import strange_level
from normscape.params import Params
from normscape.scoring.day import sampled
from normscape.scoring.inbox import Inbox
from normscape.scoring.listing import day_of
from normscape.scoring.log import read
from normscape.scoring.parts import Partition
from normscape.scoring.paths import overlay_path, score_log
from normscape.scoring.run import open_version, score_place
from normscape.scoring.scorer import Scorer
from normscape.sections.production import ReviewParams

from .conftest import Start
from .project import DAY, fill_day, picture

pytestmark = pytest.mark.slow
IMAGES = 20


def run(params: Params, folder: Path, **options: object):
    return score_place(folder, params, progress=False, **options)[0]  # type: ignore[arg-type]


def test_a_day_is_scored(project: Params) -> None:
    folder = fill_day(project.root)
    summary = run(project, folder)
    assert (summary.day, summary.model_version) == (DAY, "v0001")
    assert (summary.found, summary.logged, summary.skipped) == (IMAGES, IMAGES, 0)
    rows = read(score_log(project), days=DAY).set_index("path")
    assert len(rows) == IMAGES
    assert rows["error"].isna().all()
    assert set(rows["runtime"]) == {"torch"}
    bad = rows[rows.index.str.contains("bad")]
    assert bad["flagged"].all()
    assert summary.flagged == rows["flagged"].sum()
    good = rows[rows["declared_category"].isin(["bolt", "nut"]) & ~rows.index.isin(bad.index)]
    assert (good["predicted_category"] == good["declared_category"]).all()
    calibration = open_version(project, "production")[1].calibration
    assert (
        good["threshold"] == [calibration.threshold(c) for c in good["declared_category"]]
    ).all()
    first = good.iloc[0]
    assert first["p_value_declared"] == calibration.p_value(
        [first["score"]], [first["declared_category"]]
    )


def test_unknown_and_undeclared_categories(project: Params) -> None:
    summary = run(project, fill_day(project.root))
    rows = read(score_log(project), days=DAY)
    washers = rows[rows["declared_category"] == "washer"]
    loose = rows[rows["declared_category"].isna()]
    assert (len(washers), len(loose)) == (3, 3)
    assert set(washers["predicted_category"]) <= {"bolt", "nut"}
    for some in (washers, loose):
        assert some["p_value_declared"].isna().all()
        assert some["p_value_predicted"].notna().all()
    calibration = open_version(project, "production")[1].calibration
    assert [calibration.threshold(c) for c in washers["predicted_category"]] == list(
        washers["threshold"]
    )
    kept = {record.source: record for record in Inbox.of(project).records()}
    for path in washers["path"]:
        assert "unknown" in kept[path].reasons
        assert kept[path].declared == "washer"
    assert summary.unknown >= 3


def test_flagged_images_have_an_overlay_and_wait_in_the_inbox(project: Params) -> None:
    summary = run(project, fill_day(project.root))
    rows = read(score_log(project), days=DAY)
    for row in rows.itertuples():
        target = overlay_path(project, "v0001", DAY, row.sha256)
        assert target.exists() == row.flagged
        if row.flagged:
            Image.open(target).verify()
            record = Inbox.of(project).get(row.sha256)
            assert record is not None
            assert "flagged" in record.reasons
            assert record.threshold == row.threshold
            image = Inbox.of(project).image(record)
            assert image is not None
            assert sha256_file(image) == row.sha256
    unremarkable = [r for r in Inbox.of(project).records() if r.reasons == ("random",)]
    reference = open_version(project, "production")[1].calibration.familiar
    level, _ = strange_level(project.score.category_alpha, len(reference))
    expected = rows[~rows["flagged"] & (rows["category_p_value"] > level)]
    expected = expected[expected["declared_category"].fillna("bolt") != "washer"]
    assert {r.sha256 for r in unremarkable} == {s for s in expected["sha256"] if sampled(s, 0.2)}
    assert summary.kept == len(Inbox.of(project).records())


def test_a_production_score_is_the_score_of_the_calibration(project: Params) -> None:
    """The same image gets the same score from cached features and from the scorer."""
    bundle = open_version(project, "production")[1]
    folder = project.root / "feed" / DAY
    for row in bundle.reference.itertuples():
        target = folder / row.category / Path(row.path).name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(project.data / row.path, target)
    run(project, folder)
    rows = read(score_log(project), days=DAY).set_index("sha256")
    reference = bundle.reference.set_index("sha256")
    np.testing.assert_allclose(
        rows.loc[reference.index, "score"], reference["score"], rtol=1e-4, atol=1e-6
    )


def test_scoring_again_changes_nothing(project: Params) -> None:
    folder = fill_day(project.root)
    run(project, folder)
    before = read(score_log(project))
    again = run(project, folder)
    assert (again.logged, again.skipped, again.kept) == (0, IMAGES, 0)
    assert read(score_log(project)).equals(before)


def test_one_more_image_is_one_more_row(project: Params) -> None:
    folder = fill_day(project.root)
    run(project, folder)
    picture(folder / "bolt" / "late.png", 9999, "bolt")
    assert run(project, folder).logged == 1
    shutil.copy(folder / "bolt" / "late.png", folder / "bolt" / "copy.png")
    summary = run(project, folder)
    assert (summary.logged, summary.skipped) == (0, IMAGES + 2)


def test_copies_within_a_day_are_one_row(project: Params) -> None:
    folder = project.root / "feed" / DAY
    picture(folder / "bolt" / "a.png", 1, "bolt")
    for name in ("b", "c", "d", "e", "f"):
        shutil.copy(folder / "bolt" / "a.png", folder / "bolt" / f"{name}.png")
    summary = run(project, folder)
    assert (summary.logged, summary.skipped) == (1, 5)


def test_bad_images_are_rows_with_an_error(project: Params) -> None:
    folder = fill_day(project.root)
    good = (folder / "bolt" / "000.png").read_bytes()
    (folder / "bolt" / "short.png").write_bytes(good[: len(good) // 2])
    (folder / "bolt" / "empty.png").write_bytes(b"")
    (folder / "bolt" / "text.jpg").write_text("no image")
    (folder / "bolt" / "link.png").symlink_to("nowhere.png")
    summary = run(project, folder)
    assert (summary.logged, len(summary.errors)) == (IMAGES + 4, 4)
    rows = read(score_log(project)).set_index("path")
    errors = rows[rows["error"].notna()]
    assert set(errors.index) == {
        f"feed/{DAY}/bolt/{n}" for n in ("short.png", "empty.png", "text.jpg", "link.png")
    }
    assert errors["score"].isna().all()
    assert not errors["flagged"].any()
    assert len(summary.warnings(10)) == 4
    assert run(project, folder).logged == 0


def poison(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Make the model return NaN for bolts once it has scored so many images."""
    original, calls = InspectionModel._one, 0

    def one(self: InspectionModel, maps: list[torch.Tensor]) -> Prediction:
        nonlocal calls
        calls += 1
        prediction = original(self, maps)
        bolt = self.categories[int(prediction.category)] == "bolt"
        wrong = prediction.score * float("nan")
        return replace(prediction, score=wrong) if bolt and calls > after else prediction

    monkeypatch.setattr(InspectionModel, "_one", one)


def test_images_that_break_the_model_stop_nothing(
    project: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, after=4)
    summary = run(project, fill_day(project.root))
    rows = read(score_log(project))
    assert summary.logged == len(rows) == IMAGES
    broken = rows[rows["error"].notna()]
    assert 3 <= len(broken) < 10
    assert set(broken["declared_category"].dropna()) <= {"bolt", "washer"}
    assert rows[rows["declared_category"] == "nut"]["error"].isna().all()


def test_a_model_that_scores_nothing_logs_nothing(
    project: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, after=0)
    with pytest.raises(NormscapeError, match="not finite"):
        run(project, fill_day(project.root))
    assert score_log(project).partitions() == []


def test_another_runtime_is_refused_and_recalibrate_named(project: Params) -> None:
    folder = fill_day(project.root)
    with pytest.raises(UsageError, match=r"do not carry over.*recalibrate --runtime openvino`"):
        run(project, folder, runtime="openvino")
    assert score_log(project).partitions() == []


def test_a_runtime_this_machine_lacks_is_refused(
    project: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    from normscape.scoring import scorer

    def lacking(wanted: str, precision: str) -> tuple[str, str]:
        if wanted == "torch":
            raise UsageError("no such precision here")
        return resolve(wanted, precision)

    monkeypatch.setattr(scorer, "resolve", lacking)
    with pytest.raises(NormscapeError, match=r"cannot run .*`normscape recalibrate --runtime "):
        run(project, fill_day(project.root))
    assert runtime.resolve("torch", "fp32") == ("torch", "fp32")


def test_a_scorer_takes_images_of_any_size(project: Params) -> None:
    bundle = open_version(project, "production")[1]
    scorer = Scorer.open(bundle, root=project.root, cache=project.state / "cache")
    images = [Image.open(picture(project.root / f"{n}.png", n, "bolt")) for n in range(3)]
    scores = scorer.score([image.convert("RGB").resize((90, 50)) for image in images])
    assert [score.declared for score in scores] == [None] * 3
    alone = scorer.score([images[1].convert("RGB")], ["nut"])[0]
    assert alone.category == "nut"
    assert alone.p_value == alone.p_value_declared
    assert alone.map.shape == (64, 64)
    assert scorer.score([]) == []
    with pytest.raises(UsageError, match="2 images but 1"):
        scorer.score_batch(torch.zeros(2, 3, 64, 64), [None])


def test_a_full_inbox_warns(project: Params) -> None:
    small = project.model_copy(update={"review": ReviewParams(max_images=1)})
    summary = run(small, fill_day(project.root))
    assert len(Inbox.of(small).records()) == 1
    assert any("review.max_images: 1" in line for line in summary.warnings(1))


def test_killed_and_run_again_nothing_is_lost_or_doubled(project: Params, start: Start) -> None:
    folder = fill_day(project.root, count=40)
    log, kills = score_log(project), 0
    here = Partition(DAY, "v0001")
    for _ in range(2):
        before = len(log.names(here))
        process = start("score", str(project.root), str(folder))
        while process.is_alive() and len(log.names(here)) < before + 3:
            time.sleep(0.005)
        kills += process.is_alive()
        process.kill()
        process.join()
    assert kills == 2
    partial = len(read(log))
    total = 2 * 40 + 8
    assert 0 < partial < total
    summary = run(project, folder)
    rows = read(log)
    assert summary.logged == total - partial
    assert len(rows) == total
    assert rows["sha256"].is_unique
    for row in rows[rows["flagged"]].itertuples():
        assert overlay_path(project, "v0001", DAY, row.sha256).exists()
        assert Inbox.of(project).get(row.sha256) is not None


def test_the_day_comes_from_the_folder_or_the_option() -> None:
    assert day_of(f"feed/{DAY}", None) == DAY
    assert day_of("shots", DAY) == DAY
    with pytest.raises(UsageError, match="or give --day"):
        day_of("shots", None)
    with pytest.raises(UsageError, match="not a day"):
        day_of(DAY, "tomorrow")


def test_the_verb(project: Params) -> None:
    folder = fill_day(project.root)
    (folder / "bolt" / "x.png").write_text("no image")
    options = ["--params", str(project.root / "params.yaml")]
    result = CliRunner().invoke(app, ["score", str(folder), *options], catch_exceptions=False)
    assert result.exit_code == 0
    assert f"{DAY}, v0001: {IMAGES + 1} images, {IMAGES + 1} newly logged" in result.output
    assert "warning: feed/2026-03-14/bolt/x.png" in result.output
    listed = CliRunner().invoke(review_app, ["list", "--json", *options])
    assert len(json.loads(listed.stdout)) == len(Inbox.of(project).records())


def test_the_verb_compacts(project: Params) -> None:
    folder = fill_day(project.root)
    options = ["--params", str(project.root / "params.yaml")]
    for name in ("late", "later"):
        run(project, folder)
        picture(folder / "bolt" / f"{name}.png", len(name), "bolt")
    command = ["log", "compact", "--min-parts", "2", *options]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0
    assert f"1 days and versions compacted: {IMAGES + 1} rows of 2 parts" in result.output
    assert run(project, folder).logged == 1


@pytest.mark.parametrize(
    ("maps", "overlays", "arrays"),
    [("none", 0, 0), ("array", 0, IMAGES), ("both", 2, IMAGES), ("overlay", 2, 0)],
)
def test_maps_on_request(project: Params, maps: str, overlays: int, arrays: int) -> None:
    summary = run(project, fill_day(project.root), maps=maps)
    files = [path.name for path in (project.state / "maps").rglob("*.png")]
    assert sum(name.endswith(".map.png") for name in files) == arrays
    assert len(files) - arrays == (summary.flagged if overlays else 0)
    assert summary.flagged >= 2


def test_a_manifest_is_scored_like_its_folder(project: Params) -> None:
    folder = fill_day(project.root)
    paths = sorted(folder.rglob("*.png"))
    frame = pd.DataFrame(
        {
            "path": [path.relative_to(project.root).as_posix() for path in paths],
            "category": ["" if p.parent == folder else p.parent.name for p in paths],
            "day": ["2026-03-01", "2026-03-02"] * (IMAGES // 2),
        }
    )
    frame.loc[IMAGES] = ["../../etc/passwd.png", "bolt", "2026-03-02"]
    frame.to_csv(project.root / "week.csv", index=False)
    first, second = score_place(project.root / "week.csv", project, progress=False)
    assert (first.day, first.logged, second.logged) == ("2026-03-01", IMAGES // 2, IMAGES // 2 + 1)
    assert list(second.errors.values()) == ["refused: the path leads out of the manifest's folder"]
    run(project, folder)
    rows = read(score_log(project)).dropna(subset="score")
    both = rows.groupby("sha256")
    assert (both["score"].nunique() == 1).all()
    assert (both["declared_category"].nunique() <= 1).all()
    assert len(rows) == 2 * IMAGES
