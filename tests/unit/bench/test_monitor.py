"""The benchmark of a monitor run writes a log that holds what it says, at a small size."""

from pathlib import Path

from bench import monitor
from normscape.scoring import log
from normscape.scoring.paths import score_log


def test_the_log_holds_the_rows_and_the_findings(tmp_path: Path) -> None:
    params = monitor.make_line(tmp_path, 3000, 130, 6)
    rows = log.read(score_log(params))
    assert rows["day"].nunique() == 6
    assert rows["sha256"].is_unique
    assert 2900 <= len(rows) <= 3000
    last = rows[rows["day"] == monitor.LAST]
    assert monitor._ABSENT not in set(last["declared_category"])
    drifted = last[last["declared_category"].isin(monitor._DRIFTING)]
    assert len(drifted)
    assert all((tmp_path / path).is_file() for path in drifted["path"])
    assert last["declared_category"].isna().any()


def test_claims() -> None:
    raw = {"rows": 10, "categories": 2, "days": 3, "cores": 1, "seconds": 59.0, "peak_gib": 2.1}
    held = {claim.id: claim.holds for claim in monitor.claims(raw)}
    assert held == {"monitor.seconds": True, "monitor.memory_gib": False}
