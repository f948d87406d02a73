"""A grid of settings from what people type."""

import pytest

from normscape.backtest import grid
from normscape.errors import UsageError
from normscape.sections.production import MonitorParams

BASE = MonitorParams()


def test_the_current_setting_comes_first_and_alone_without_changes() -> None:
    [only] = grid(BASE, [])
    assert (only.name, only.params) == ("as set", BASE)


def test_several_values_make_a_grid_without_repetitions() -> None:
    found = grid(BASE, ["monitor.min_effect=0.3,0.5", "false_alarms_per_year=4, 12"])
    assert found[0].name == "as set"  # 0.3 and 12, so that these need no row of their own
    assert len(found) == 4
    assert {(each.params.min_effect, each.params.false_alarms_per_year) for each in found} == {
        (0.3, 12.0), (0.3, 4.0), (0.5, 4.0), (0.5, 12.0),
    }  # fmt: skip


@pytest.mark.parametrize(
    "change", ["nonsense=1", "min_effect", "min_effect=", "min_effect=-1", "min_effect=much",
               "cooldown_hours=2"],
)  # fmt: skip
def test_wrong_changes_are_refused(change: str) -> None:
    with pytest.raises(UsageError, match=change.split("=", maxsplit=1)[0]):
        grid(BASE, [change])


def test_a_grid_has_an_end() -> None:
    values = ",".join(str(0.1 + each / 100) for each in range(60))
    with pytest.raises(UsageError, match="at most 50"):
        grid(BASE, [f"min_effect={values}"])
