"""The settings that are tried side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from pydantic import ValidationError

from normscape.errors import UsageError
from normscape.sections.production import MonitorParams

REPLAYED = (
    "min_images", "false_alarms_per_year", "min_effect", "min_spread", "min_rise", "day_to_day",
)  # fmt: skip
"""Parameters of the section `monitor` that a backtest depends on."""

_MOST = 50


@dataclass(frozen=True)
class Setting:
    """Parameters with a name for the table.

    Attributes:
        name: What differs from `params.yaml`; `as set` where nothing does.
        params: Section `monitor`.
    """

    name: str
    params: MonitorParams


def grid(base: MonitorParams, changes: Sequence[str]) -> list[Setting]:
    """The current setting, and every combination of the changed values.

    Args:
        base: Section `monitor` of `params.yaml`.
        changes: Such as `min_effect=0.3,0.5` or `monitor.false_alarms_per_year=4`.

    Raises:
        UsageError: A parameter is unknown, has no bearing on a backtest, or a value is wrong.
    """
    axes: dict[str, list[str]] = {}
    for change in changes:
        name, _, values = change.partition("=")
        name = name.strip().removeprefix("monitor.")
        if name not in REPLAYED or not values:
            raise UsageError(
                f"--set {change}: expected NAME=VALUE or NAME=VALUE,VALUE with a name of "
                f"{', '.join(REPLAYED)}"
            )
        axes.setdefault(name, []).extend(each.strip() for each in values.split(","))
    settings = [Setting("as set", base)]
    for combination in product(*axes.values()) if axes else ():
        chosen = dict(zip(axes, combination, strict=True))
        name = " ".join(f"{key}={value}" for key, value in chosen.items())
        params = _changed(base, chosen, name)
        if params != base and all(params != each.params for each in settings):
            settings.append(Setting(name, params))
    if len(settings) > _MOST:
        raise UsageError(f"--set asks for {len(settings)} settings; expected at most {_MOST}")
    return settings


def _changed(base: MonitorParams, chosen: dict[str, str], name: str) -> MonitorParams:
    try:
        return MonitorParams.model_validate(base.model_dump() | chosen, strict=False)
    except ValidationError as error:
        problem = error.errors()[0]
        raise UsageError(
            f"--set {name}: {problem['loc'][0]} is '{problem['input']}': {problem['msg']}"
        ) from None
