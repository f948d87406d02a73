"""Sending stored notices: events to Prefect's server, notifications through Prefect's blocks.

What is sent was stored before and is marked after it was taken, so a crash between the two sends it
once more, under the same id: at least once.
"""

from __future__ import annotations

import datetime
import functools
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from monitoring.blocks import SendError, load_block, notify
from normscape.alerts import EVENT, AlertStore, Notice
from normscape.alerts.outbox import Letter, is_due, note_try, waiting
from normscape.errors import NormscapeError
from normscape.files import exclusive_lock
from normscape.params import Params

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

_WAIT_SECONDS = 300.0


@dataclass(frozen=True)
class Delivered:
    """What one delivery has done.

    Attributes:
        sent: Notices that were taken, counted once a receiver.
        failures: A sentence a receiver that did not take something.
        unsent: Notices that still wait, those that are not due included.
    """

    sent: int
    failures: tuple[str, ...]
    unsent: int


def deliver(params: Params, receivers: Collection[str], *, at_once: bool = False) -> Delivered:
    """Send what waits for the receivers, oldest first.

    An unreachable receiver is tried once; what else waits for it keeps its place. Notices of one
    alert reach a receiver in their order.

    Args:
        params: The project.
        receivers: `EVENT`, or names of blocks.
        at_once: Also what is not due for another try yet.

    Raises:
        NormscapeError: The store cannot be read or written, or another delivery is stuck.
    """
    store, lock = AlertStore.of(params), params.state / "locks" / "delivery.lock"
    with exclusive_lock(lock, "a delivery of alerts", _WAIT_SECONDS):
        letters = waiting(store.read().alerts, receivers)
        rounds = [
            _deliver_to(params, store, [each for each in letters if each.receiver == name], at_once)
            for name in sorted({letter.receiver for letter in letters})
        ]
    sent = sum(count for count, _ in rounds)
    failures = tuple(failure for _, found in rounds for failure in found)
    return Delivered(sent, failures, len(letters) - sent)


def _deliver_to(
    params: Params, store: AlertStore, letters: Sequence[Letter], at_once: bool
) -> tuple[int, list[str]]:
    send = _sender(params, letters[0].receiver)
    sent, failures, blocked = 0, [], set()
    for letter in letters:
        now = datetime.datetime.now(datetime.UTC)
        if letter.alert.id in blocked or not (at_once or is_due(letter.delivery, now)):
            blocked.add(letter.alert.id)
            continue
        try:
            send(letter)
        except SendError as error:
            note_try(store, letter, str(error), params.alerts, now)
            failures.append(
                f"{letter.receiver} did not take notice {letter.notice.id[:8]} of alert "
                f"{letter.alert.id[:8]}: {error}"
            )
            blocked.add(letter.alert.id)
            if not error.reached:
                break
        else:
            note_try(store, letter, None, params.alerts, now)
            sent += 1
    return sent, failures


def _sender(params: Params, receiver: str) -> Callable[[Letter], None]:
    if receiver == EVENT:
        return lambda letter: _send_event(letter.notice)
    load = functools.cache(functools.partial(load_block, receiver))
    return lambda letter: notify(
        load(), subject_of(letter), body_of(letter), params.alerts.timeout_seconds
    )


def subject_of(letter: Letter) -> str:
    """The first line of a notification."""
    alert, notice = letter.alert, letter.notice
    prefix = "resolved" if notice.reason == "resolved" else str(notice.severity)
    return f"[{prefix}] {str(alert.kind).replace('_', ' ')}: {alert.subject}"


def body_of(letter: Letter) -> str:
    """The text of a notification; the last line holds the ids by which to know it again."""
    alert, notice = letter.alert, letter.notice
    words = {
        "severity": "It is more urgent than before.",
        "worse": "It is worse than before.",
        "reminder": "It goes on.",
        "resolved": "It is over.",
    }
    days = [day for day in alert.days if day <= notice.day]
    span = f"{days[0]} to {days[-1]}, seen in {len(days)} windows" if len(days) > 1 else notice.day
    lines = [
        f"{notice.sentence}.",
        words.get(notice.reason, ""),
        f"Window: {span}; model {alert.version}.",
        f"normscape alerts show {alert.id[:8]}",
        f"alert {alert.id} notice {notice.id}",
    ]
    return "\n".join(line for line in lines if line)


def _send_event(notice: Notice) -> None:
    """Hand an event to the server and wait for its answer, which `emit_event` does not."""
    from prefect.client.orchestration import get_client
    from prefect.exceptions import PrefectException

    try:
        with get_client(sync_client=True) as client:
            _post(client, notice)
    except Exception as error:
        if not isinstance(error, (PrefectException, OSError, RuntimeError)) and not _is_http(error):
            raise
        raise SendError(
            f"Prefect's server did not take it ({type(error).__name__}); check its address and log",
            reached=False,
        ) from None


def _is_http(error: Exception) -> bool:
    import httpx

    return isinstance(error, httpx.HTTPError)


def _post(client: SyncPrefectClient, notice: Notice) -> None:
    from prefect.events import Event, RelatedResource
    from prefect.runtime import flow_run

    if notice.event is None:
        raise NormscapeError(f"notice {notice.id} holds no event; remove its alert's file")
    related = []
    if flow_run.id is not None:
        name = {"prefect.resource.id": f"prefect.flow-run.{flow_run.id}"}
        related.append(RelatedResource({**name, "prefect.resource.role": "flow-run"}))
    event = Event.model_validate(
        {
            "id": notice.id,
            "event": notice.event.name,
            "resource": notice.event.resource,
            "payload": notice.event.payload,
            "related": related,
            "occurred": notice.made_at,
        }
    )
    client.request("POST", "/events", json=[event.model_dump(mode="json")])
