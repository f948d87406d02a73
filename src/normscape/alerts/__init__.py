"""Alerts between a finding and a person: stored first, said once, repeated with measure."""

from normscape.alerts.alert import EVENT, Alert, Delivery, Event, Notice, Truth
from normscape.alerts.finding import Finding, Kind, Observation, Severity
from normscape.alerts.lifecycle import Outcome, observe, receivers
from normscape.alerts.store import AlertStore

__all__ = [
    "EVENT",
    "Alert",
    "AlertStore",
    "Delivery",
    "Event",
    "Finding",
    "Kind",
    "Notice",
    "Observation",
    "Outcome",
    "Severity",
    "Truth",
    "observe",
    "receivers",
]
