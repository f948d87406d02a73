"""Replays the score log under several settings and counts the alerts; it stores and sends none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from normscape.alerts import Alert, AlertStore, Kind
from normscape.backtest.raised import KINDS, Raised, raised
from normscape.backtest.settings import Setting
from normscape.drift import History, Reference
from normscape.drift.replay import replay
from normscape.errors import UsageError
from normscape.params import Params
from normscape.registry.bundle import Bundle
from normscape.registry.contract import Registry
from normscape.registry.store import open_registry
from normscape.scoring import log
from normscape.scoring.history import read_history
from normscape.scoring.paths import score_log

_YEAR = 365.0


@dataclass(frozen=True)
class Outcome:
    """What one setting would have done.

    Attributes:
        setting: Its name.
        alerts: All that it would have raised, over all versions.
        per_year: Alerts in 365 days with images, by kind.
        alarm_days: Days on which a category would have been in alarm, by kind.
        real: Of the alerts, those that a person called real when they happened, by kind.
        false_alarms: Those that a person called a false alarm.
        lost: Alerts that a person called real and that the setting would not have raised.
    """

    setting: str
    alerts: tuple[Raised, ...]
    per_year: dict[str, float]
    alarm_days: dict[str, int]
    real: dict[str, int]
    false_alarms: dict[str, int]
    lost: dict[str, int]

    def count(self, kind: Kind) -> int:
        """Alerts of a kind."""
        return sum(alert.kind is kind for alert in self.alerts)


@dataclass(frozen=True)
class Backtest:
    """The outcome of every setting over the same days.

    Attributes:
        versions: The model versions whose scores were replayed, oldest first.
        first_day: Of them.
        last_day: Of them.
        days: Days with images, counted once a version.
        judged: Stored alerts of these days that a person has judged, of the replayed kinds.
        outcomes: In the order of the settings.
    """

    versions: tuple[str, ...]
    first_day: str
    last_day: str
    days: int
    judged: int
    outcomes: tuple[Outcome, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def backtest(
    params: Params,
    settings: Sequence[Setting],
    *,
    versions: Sequence[str] | None = None,
    first: str | None = None,
    last: str | None = None,
) -> Backtest:
    """Replay the score log; every version against its own reference, every day by what was known.

    Args:
        params: The project.
        settings: From `grid`.
        versions: Aliases or versions of the registry; all that the log has days of when None.
        first: The first day, YYYY-MM-DD; the oldest when None.
        last: The last day; the newest when None.

    Raises:
        UsageError: There is no such version, or nothing was scored.
        NormscapeError: A bundle or the log is damaged.
    """
    registry, store = open_registry(params), score_log(params)
    chosen = _versions(params, registry, versions)
    found: dict[str, list[Raised]] = {setting.name: [] for setting in settings}
    covered: list[tuple[str, str]] = []
    for version in chosen:
        days = [
            day
            for day in log.days(store, model_version=version)
            if (first is None or day >= first) and (last is None or day <= last)
        ]
        if not days:
            continue
        covered += [(version, day) for day in days]
        bundle = Bundle.load(registry.get(version))
        for setting, alerts in _replayed(params, settings, version, bundle, days).items():
            found[setting] += alerts
    if not covered:
        raise UsageError(
            f"{' and '.join(chosen) or 'no version'} has scored nothing in these days ({store}); "
            "score some first, or name another --model, --from or --to"
        )
    stored = [alert for alert in _judged(params) if any(_saw(alert, *each) for each in covered)]
    scored = sorted({day for _, day in covered})
    return Backtest(
        tuple(dict.fromkeys(version for version, _ in covered)),
        scored[0], scored[-1], len(covered), len(stored),
        tuple(_outcome(name, alerts, stored, len(covered)) for name, alerts in found.items()),
    )  # fmt: skip


def _versions(params: Params, registry: Registry, wanted: Sequence[str] | None) -> list[str]:
    if wanted is not None:
        return list(dict.fromkeys(registry.resolve(name) for name in wanted))
    store = score_log(params)
    scored = log.versions(store, log.days(store))
    return sorted(scored & set(registry.versions()))


def _replayed(
    params: Params, settings: Sequence[Setting], version: str, bundle: Bundle, days: list[str]
) -> dict[str, list[Raised]]:
    """The alerts of a version under every setting; the log is read once for each `min_images`."""
    reference = Reference.of(bundle.reference)
    histories: dict[int, History] = {}
    found = {}
    for setting in settings:
        images = setting.params.min_images
        if images not in histories:
            changed = params.model_copy(update={"monitor": setting.params})
            histories[images] = read_history(changed, days, version, bundle, reference)
        course = replay(reference, histories[images], setting.params)
        found[setting.name] = raised(course, setting.params, params.alerts.quiet_windows)
    return found


def _judged(params: Params) -> list[Alert]:
    alerts = AlertStore.of(params).sound()
    return [
        alert
        for alert in alerts
        if alert.truth is not None
        and alert.kind in KINDS
        and alert.figures.get("verdict") != "stale"  # a replay of one day's verdict knows no weeks
    ]


def _saw(alert: Alert, version: str, day: str) -> bool:
    return alert.version == version and day in alert.days


def _outcome(name: str, alerts: list[Raised], judged: list[Alert], days: int) -> Outcome:
    real, wrong, lost = Counter[str](), Counter[str](), Counter[str]()
    for alert in judged:
        hit = any(_same(each, alert) for each in alerts)
        if alert.truth == "real":
            (real if hit else lost)[alert.kind] += 1
        elif hit:
            wrong[alert.kind] += 1
    counts = Counter(each.kind for each in alerts)
    return Outcome(
        name,
        tuple(alerts),
        {str(kind): counts[kind] * _YEAR / days for kind in KINDS},
        {str(kind): sum(len(each.days) for each in alerts if each.kind is kind) for kind in KINDS},
        *({str(kind): each[kind] for kind in KINDS} for each in (real, wrong, lost)),
    )


def _same(found: Raised, alert: Alert) -> bool:
    same = (found.kind, found.category) == (alert.kind, alert.subject)
    return same and not set(found.days).isdisjoint(alert.days)
