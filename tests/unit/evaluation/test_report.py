"""The report holds all it shows, and shows what matters."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from normscape.calibration import Calibration
from normscape.evaluation.curves import draw_curves
from normscape.evaluation.report import render_report
from normscape.evaluation.results import Evaluation
from normscape.sections.delivery import EvaluateParams


class Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in {"script", "link", "iframe"}
        self.found += [value or "" for name, value in attrs if name in {"src", "href"}]


@pytest.fixture(scope="module")
def page(
    tmp_path_factory: pytest.TempPathFactory, evaluation: Evaluation, calibration: Calibration
) -> str:
    folder: Path = tmp_path_factory.mktemp("curves")
    curves = draw_curves(evaluation, folder)
    return render_report(
        evaluation,
        calibration,
        EvaluateParams(credits={"bolt": "Bolts & Co, CC BY 4.0", "absent": "nobody"}),
        curves=curves,
        galleries={"bolt": curves[0]},
    )


def test_it_opens_without_a_network(page: str) -> None:
    links = Links()
    links.feed(page)
    assert len(links.found) == 5
    assert all(link.startswith("data:image/png;base64,") for link in links.found)
    assert not re.search(r"https?://|@import|url\(", re.sub(r"base64,[^\"]*", "", page))


def test_it_shows_metrics_rates_thresholds_and_credits(
    page: str, evaluation: Evaluation, calibration: Calibration
) -> None:
    assert f"{evaluation.metrics['mean']['image_auroc']:.3f}" in page
    rate = evaluation.metrics["categories"]["nut"]["false_positive_rate"]["declared"]
    assert f"{rate['low']:.3f} to {rate['high']:.3f}" in page
    assert f"{calibration.threshold('nut'):.4g}" in page
    assert "Bolts &amp; Co, CC BY 4.0" in page
    assert "nobody" not in page


def test_names_are_escaped(page: str) -> None:
    assert "&lt;new&gt; &amp; odd" in page
    assert "<new>" not in page


def test_absent_metrics_are_dashes_not_zeros(page: str) -> None:
    row = re.search(r"<td>nut</td>.*?</tr>", page, re.DOTALL)
    assert row is not None
    assert row[0].count("cannot be computed") == 7
    assert "0.000" not in row[0]


def test_rendering_without_pictures_or_target_met(
    evaluation: Evaluation, calibration: Calibration
) -> None:
    page = render_report(evaluation, calibration, EvaluateParams(), curves=[], galleries={})
    assert "What it got wrong" not in page
    assert "<h2>Curves</h2>" not in page
