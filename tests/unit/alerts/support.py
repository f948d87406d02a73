"""A line whose days are judged one after the other, at moments that the test chooses."""

import datetime
from pathlib import Path
from typing import Any

from normscape.alerts import Alert, AlertStore, Finding, Kind, Observation, Severity, observe
from normscape.alerts.lifecycle import Outcome
from normscape.params import Params, load_params

START = datetime.datetime(2026, 3, 1, 6, tzinfo=datetime.UTC)
VERSION = "v0001"


def day(number: int) -> str:
    """The name of a day; 0 is that of `START`."""
    return (START + datetime.timedelta(days=number)).date().isoformat()


def moment(days: float) -> datetime.datetime:
    """A moment so many days after `START`."""
    return START + datetime.timedelta(days=days)


def drift(
    category: str = "nut", effect: float = 1.2, severity: Severity = Severity.WARNING
) -> Finding:
    figures = {
        "category": category, "verdict": "drift", "images": 30, "effect": effect, "adjusted": 0.001,
        "explanation": ["darker"],
    }  # fmt: skip
    return Finding(Kind.DRIFT, category, severity, f"{category} moved", figures, abs(effect))


def silence(category: str = "pin") -> Finding:
    figures = {
        "category": category, "days_silent": 3, "usual_per_day": 80.0, "last_image_day": day(0),
    }  # fmt: skip
    return Finding(Kind.TRAFFIC, category, Severity.WARNING, f"no image of {category}", figures)


def unknown(name: str = "grass") -> Finding:
    figures = {
        "name": name, "source": "name", "images": 9, "strange": 9, "adjusted": None,
        "examples": [], "nearest": [], "command": None,
    }  # fmt: skip
    return Finding(Kind.UNKNOWN, name, Severity.WARNING, f"{name} is unknown", figures)


class Plant:
    """A project and its alert store."""

    def __init__(self, root: Path, **alerts: Any) -> None:
        root.mkdir(parents=True, exist_ok=True)
        values = {"blocks": ["custom-webhook/hook"], **alerts}
        import yaml

        (root / "params.yaml").write_text(yaml.safe_dump({"alerts": values}))
        self.params: Params = load_params(root / "params.yaml")
        self.store = AlertStore.of(self.params)

    def judge(
        self,
        number: int,
        *findings: Finding,
        at: datetime.datetime | None = None,
        unjudged: frozenset[tuple[Kind, str]] = frozenset(),
        empty: bool = False,
        version: str = VERSION,
    ) -> Outcome:
        """Judge a day, by default at six o'clock of that day, and store what it has done."""
        seen = Observation(day(number), version, findings, unjudged, empty)
        with self.store.changing() as contents:
            outcome = observe(
                contents.alerts, seen, self.params.alerts, self.params.monitor,
                moment(number) if at is None else at,
            )  # fmt: skip
            self.store.save(outcome.changed)
        return outcome

    @property
    def alerts(self) -> tuple[Alert, ...]:
        return self.store.sound()

    def reasons(self, kind: Kind = Kind.DRIFT) -> list[str]:
        """Why notices of a kind were made, in order."""
        alerts = sorted(self.alerts, key=lambda each: each.days)
        return [n.reason for alert in alerts if alert.kind is kind for n in alert.notices]
