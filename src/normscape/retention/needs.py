"""What must stay, however old it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from normscape.alerts import EVENT, AlertStore
from normscape.drift.window import window_days
from normscape.params import Params
from normscape.registry.store import open_registry
from normscape.scoring import log
from normscape.scoring.handover import read_handover
from normscape.scoring.inbox import Inbox
from normscape.scoring.parts import PartStore
from normscape.scoring.paths import overlay_path


@dataclass(frozen=True)
class Needs:
    """What must stay.

    Attributes:
        days: Days of the score log and why each stays.
        pictures: Overlays of images that wait for review.
        pages: Days of the monitor with alerts that have not been sent.
    """

    days: dict[str, str]
    pictures: frozenset[Path]
    pages: frozenset[str]


def find_needs(params: Params, store: PartStore) -> Needs:
    """Read the aliases, the inbox, the monitor's alerts and the last handover.

    Raises:
        NormscapeError: One of them is damaged; nothing should be removed then.
    """
    waiting = [record for record in Inbox.of(params).records() if record.status == "waiting"]
    pages = _unsent(params)
    days = {record.day: "images of it wait for review" for record in waiting}
    days |= dict.fromkeys(pages, "an alert of it has not been sent")
    if (handover := read_handover(params)) is not None and handover.finished is None:
        days |= {day: "a new version scores it once more" for day, _, _ in handover.window}
    days |= _windows(params, store)
    pictures = (overlay_path(params, r.model_version, r.day, r.sha256) for r in waiting)
    return Needs(days, frozenset(pictures), pages)


def monitored_days(params: Params) -> list[str]:
    """The days for which the monitor has pages, oldest first."""
    folder = params.state / "monitor"
    return sorted(path.parent.name for path in folder.glob("[0-9]*/verdicts.json"))


def _windows(params: Params, store: PartStore) -> dict[str, str]:
    """The newest drift window of every version that an alias names."""
    found: dict[str, str] = {}
    for alias, version in open_registry(params).aliases().items():
        if days := log.days(store, model_version=version):
            window = window_days(days[-1], params.monitor.window_days)
            found |= dict.fromkeys(window, f"the newest window of '{alias}'")
    return found


def _unsent(params: Params) -> frozenset[str]:
    """The days that a notice speaks of which somebody has not taken yet."""
    receivers = (EVENT, *params.alerts.blocks)
    return frozenset(
        notice.day
        for alert in AlertStore.of(params).sound()
        for notice, _ in alert.waiting(receivers)
    )
