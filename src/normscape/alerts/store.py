"""The stored alerts: one file each, so that a damaged one costs no other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from normscape.alerts.alert import Alert
from normscape.alerts.finding import Kind
from normscape.errors import NormscapeError, UsageError
from normscape.files import exclusive_lock, read_json, write_json
from normscape.params import Params

_WAIT_SECONDS = 30.0


@dataclass(frozen=True)
class Contents:
    """What a store holds.

    Attributes:
        alerts: Oldest first.
        damaged: A sentence about each file that is not an alert.
    """

    alerts: tuple[Alert, ...]
    damaged: tuple[str, ...]


@dataclass(frozen=True)
class AlertStore:
    """Alerts in `<state>/alerts`, changed under a lock by monitors, deliveries and people.

    Attributes:
        folder: One file an alert.
        lock: Of those who change something.
    """

    folder: Path
    lock: Path

    @classmethod
    def of(cls, params: Params) -> AlertStore:
        """The project's store."""
        return cls(params.state / "alerts", params.state / "locks" / "alerts.lock")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock.

        Raises:
            BusyError: Another process has held the lock for half a minute.
        """
        with exclusive_lock(self.lock, "a change of the alerts", _WAIT_SECONDS):
            yield

    @contextmanager
    def changing(self) -> Iterator[Contents]:
        """Hold the lock and give what is stored; the caller saves what it changes.

        Raises:
            BusyError: Another process has held the lock for half a minute.
        """
        with self.locked():
            yield self.read()

    def get(self, name: str) -> Alert | None:
        """The alert of an id; None where its file is missing or damaged."""
        try:
            return Alert.parse(read_json(self._path(name)))
        except (UsageError, ValidationError):
            return None

    def read(self) -> Contents:
        """All alerts; files are replaced as a whole, so this needs no lock."""
        alerts, damaged = [], []
        for path in sorted(self.folder.glob("[!.]*.json")):
            try:
                alerts.append(Alert.parse(read_json(path)))
            except (UsageError, ValidationError, OSError) as error:
                damaged.append(_damaged(path, error))
        alerts.sort(key=lambda each: (each.opened_at, list(Kind).index(each.kind), each.subject))
        return Contents(tuple(alerts), tuple(damaged))

    def save(self, alerts: Iterable[Alert]) -> None:
        """Write alerts; a damaged file in the way of one is kept beside it.

        Raises:
            NormscapeError: The folder cannot be written.
        """
        for alert in alerts:
            path = self._path(alert.id)
            if path.exists() and self.get(alert.id) is None:
                path.replace(path.with_suffix(".json.damaged"))
            write_json(path, alert.as_dict())

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def sound(self) -> tuple[Alert, ...]:
        """All alerts, for those who must not overlook one.

        Raises:
            NormscapeError: A file is damaged.
        """
        contents = self.read()
        if contents.damaged:
            raise NormscapeError("; ".join(contents.damaged))
        return contents.alerts


def find(contents: Contents, prefix: str) -> Alert:
    """The alert whose id begins with `prefix`.

    Raises:
        UsageError: There is none, or more than one.
    """
    found = [alert for alert in contents.alerts if alert.id.startswith(prefix.lower())]
    if len(found) == 1 and prefix:
        return found[0]
    if not found:
        raise UsageError(
            f"no alert's id begins with '{prefix}'; 'normscape alerts list --all' shows the ids"
        )
    raise UsageError(f"{len(found)} alerts' ids begin with '{prefix}'; give more digits")


def _damaged(path: Path, error: Exception) -> str:
    reason = error
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"  # type: ignore[assignment]
    return (
        f"{path} does not hold an alert ({reason}); restore it or remove it: its finding is "
        "reported anew if it goes on"
    )
