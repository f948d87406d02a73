from pathlib import Path

import pytest

from bench import production


@pytest.mark.slow
def test_the_logs_figures_are_measured(tmp_path: Path) -> None:
    raw = {
        "log": production.log_figures(tmp_path, 5000),
        "throughput": {
            "images": 10,
            "backbone": {"runtime": "torch", "precision": "fp32"},
            "images_per_second": {"in_memory": [10.0, 20.0, 10.0],
                                  "normscape_score": [9.0, 19.0, 9.5]},
        },
    }  # fmt: skip
    assert raw["log"]["parts"] == production.DAYS + production.ROUNDS
    assert raw["log"]["window_rows"] > 0
    claims = {claim.id: claim for claim in production.claims(raw)}
    assert claims["production.throughput"].value == 0.95
    assert claims["production.window"].holds
