"""The whole way on a trained project: score a day, sort the flagged images, name, merge, say."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from monitoring.defects import counts_chart, write_page
from normscape.alerts import AlertStore
from normscape.cli.main import app
from normscape.discovery.run import Origin, discover_all
from normscape.discovery.store import CatalogueStore
from normscape.errors import NormscapeError
from normscape.params import Params, load_params
from normscape.review.verdicts import Verdict, judge
from normscape.scoring.inbox import Inbox
from normscape.scoring.run import score_place
from tests.unit.scoring.project import DAY, picture

pytestmark = pytest.mark.slow


def defect(path: Path, seed: int, kind: str) -> Path:
    """A bolt with a bright square or a dark bar somewhere."""
    picture(path, seed, "bolt")
    pixels = np.array(Image.open(path))
    row, column = np.random.default_rng(seed).integers(10, 34, 2)
    if kind == "square":
        pixels[row : row + 16, column : column + 16] = 255
    else:
        pixels[row : row + 5, 4:60] = 0
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def line(project: Params) -> Params:
    """A project whose line has sent eight squares and eight bars; few views make it quick."""
    file = project.root / "params.yaml"
    content = yaml.safe_load(file.read_text()) | {"discovery": {"views": 3, "max_types": 4}}
    file.write_text(yaml.safe_dump(content))
    project = load_params(file)
    for number in range(8):
        defect(project.root / "feed" / DAY / "bolt" / f"s{number}.png", 7000 + number, "square")
        defect(project.root / "feed" / DAY / "bolt" / f"b{number}.png", 8000 + number, "bar")
    score_place(project.root / "feed" / DAY, project, progress=False)
    return project


def run(params: Params, *arguments: str, code: int = 0) -> str:
    options = ["--params", str(params.root / "params.yaml")]
    result = CliRunner().invoke(app, ["defects", *arguments, *options])
    if isinstance(result.exception, NormscapeError):
        assert result.exception.exit_code == code
        return str(result.exception)
    assert result.exit_code == code, result.output
    return result.output


def test_from_the_scored_day_to_named_kinds(line: Params) -> None:
    flagged = [each for each in Inbox.of(line).records() if "flagged" in each.reasons]
    assert len(flagged) >= 12

    (found,) = json.loads(run(line, "discover", "--json"))
    again = run(line, "discover")

    assert found["category"] == "bolt"
    assert found["catalogue"] == 1
    assert set(found["new_images"]) == {each.sha256 for each in flagged}
    kinds = {
        one["type"]: {member["source"].split("/")[-1][0] for member in json.loads(
            run(line, "show", "bolt", one["type"], "--json"))["members"]}
        for one in found["types"]
    }  # fmt: skip
    assert all(len(each) == 1 for each in kinds.values()), "no kind holds squares and bars"
    assert "bolt: nothing new" in again
    alerts = AlertStore.of(line).sound()
    assert {alert.subject for alert in alerts} == {f"bolt {name}" for name in kinds}
    event = alerts[0].notices[0].event
    assert event is not None
    assert event.name == "normscape.defect.new"
    assert event.payload["type"] in kinds

    first = found["types"][0]["type"]
    assert "is named bright spot" in run(
        line, "name", "bolt", first, "bright spot", "--why", "seen"
    )
    assert "bright spot" in run(line, "list")
    settled = {alert.subject: alert.open for alert in AlertStore.of(line).sound()}
    assert settled[f"bolt {first}"] is False
    assert "name T1" in run(line, "show", "bolt")

    assigned = json.loads(run(line, "assign", "--json"))
    assert len(assigned) == len(flagged)
    assert {each["nearest"] for each in assigned} <= set(kinds)


def test_an_alert_is_raised_once_even_after_a_stop_between_catalogue_and_alert(
    line: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("normscape.discovery.run.raise_new", stopped)
        discover_all(line, Origin(), reason="test")
    catalogue = CatalogueStore.of(line).require("bolt")
    assert AlertStore.of(line).sound() == ()

    raised = discover_all(line, Origin(), reason="test").categories[0].alerts
    again = discover_all(line, Origin(), reason="test").categories[0].alerts

    assert {one.subject for one in raised} == {f"bolt {each.id}" for each in catalogue.living}
    assert {one.severity for one in raised} == {"info"}
    assert again == ()
    largest = max(catalogue.living, key=lambda each: catalogue.counts[each.id]).id
    run(line, "split", "bolt", largest, "--why", "a person has seen two")
    assert discover_all(line, Origin(), reason="test").categories[0].alerts == ()


def test_verdicts_of_the_review_reach_the_catalogue(line: Params) -> None:
    discover_all(line, Origin(), reason="test")
    store = CatalogueStore.of(line)
    known = store.require("bolt")
    types = [each.id for each in known.living]
    said, good = (known.of_type(types[-1])[i].sha256 for i in (0, 1))
    judge(line, [Inbox.of(line).find(said)], Verdict("rejected", "bolt", "scratch"))
    judge(line, [Inbox.of(line).find(good)], Verdict("false_alarm", "bolt"))

    discover_all(line, Origin(), reason="test")

    after = store.require("bolt")
    assert after.find("scratch").id == types[-1]
    assert after.members[said].by == "person"
    assert good not in after.members
    settled = {alert.subject: alert.open for alert in AlertStore.of(line).sound()}
    assert settled[f"bolt {types[-1]}"] is False


def test_merge_split_and_label(line: Params) -> None:
    run(line, "discover")
    store = CatalogueStore.of(line)
    types = [each.id for each in store.require("bolt").living]
    if len(types) == 1:
        run(line, "split", "bolt", types[0], "--why", "two kinds")
        types = [each.id for each in store.require("bolt").living]
    one, two = types[:2]
    image = store.require("bolt").of_type(two)[0].sha256

    assert f"bolt {one}" in run(line, "label", "bolt", one, image[:12], "--why", "I looked")
    assert store.require("bolt").members[image].by == "person"
    assert f"{two} is {one}" in run(line, "merge", "bolt", two, one, "--why", "the same")
    assert two not in [each.id for each in store.require("bolt").living]
    assert "was merged into" in run(line, "show", "bolt", two, code=2)
    assert "has no catalogue of defects" in run(line, "show", "nut", code=2)
    assert "--maps without --images" in run(line, "discover", "--maps", "x", code=2)


def test_an_empty_inbox_and_files_of_another_tool(project: Params, tmp_path: Path) -> None:
    assert "no flagged image waits in the inbox" in run(project, "discover")
    assert "no catalogue" in run(project, "list")
    for number in range(6):
        path = tmp_path / "images" / f"{number}.png"
        defect(path, 9000 + number, "square" if number % 2 else "bar")
        pixels = np.asarray(Image.open(path).convert("L"), dtype=np.float32)
        (tmp_path / "maps").mkdir(exist_ok=True)
        np.save(tmp_path / "maps" / f"{number}.npy", np.abs(pixels - 128))

    places = ("--images", str(tmp_path / "images"), "--maps", str(tmp_path / "maps"))
    output = run(project, "discover", *places, "--category", "nail")

    assert "nail: 6 new images, learned anew; 1 types" in output
    assert CatalogueStore.of(project).categories() == ["nail"]


def test_the_page_shows_every_kind_and_needs_nothing_else(line: Params) -> None:
    found = discover_all(line, Origin(), reason="test")

    page = write_page(line, found)

    html = page.read_text()
    catalogue = CatalogueStore.of(line).require("bolt")
    for each in catalogue.living:
        assert f"<h3>{each.title}" in html
    assert html.count("data:image/jpeg;base64,") == min(
        12 * len(catalogue.living), len(catalogue.members)
    )
    assert "normscape defects name bolt" in html
    assert "http" not in html.replace("http://www.w3.org", "")
    later = write_page(line, discover_all(line, Origin(), reason="test")).read_text()
    assert "Kinds of defects" in later


def test_bars_are_as_high_as_the_counts() -> None:
    chart = counts_chart(["2026-03-01"] * 4 + ["2026-03-02"] * 2, ["2026-03-01", "2026-03-02"])

    assert chart.count("<rect") == 2
    assert "2026-03-01: 4" in chart
    assert counts_chart([], []) == ""
