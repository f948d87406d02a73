"""Notices reach a real receiver through real blocks, whatever state it is in; no Prefect server."""

import datetime
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitoring import blocks, deliver
from monitoring.blocks import AppriseAddress, BlockType, SendError, notify
from monitoring.deliver import Delivered
from normscape.alerts import EVENT, Severity
from normscape.alerts.outbox import wait
from normscape.errors import UsageError
from tests.unit.alerts.support import Plant, drift, moment, silence, unknown
from tests.unit.monitoring.receiver import SECRET, Receiver, free_port, receiver

HOOK = "custom-webhook/hook"


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver() as place:
        yield place


@pytest.fixture
def plant(tmp_path: Path, hook: Receiver, monkeypatch: pytest.MonkeyPatch) -> Plant:
    """A project whose block is the one that `make_block` would save."""
    block = blocks._new(BlockType.WEBHOOK, "hook", hook.url, 5.0)
    monkeypatch.setattr(deliver, "load_block", lambda name: block)
    return Plant(tmp_path / "plant", timeout_seconds=0.5)


def send(plant: Plant, *, at_once: bool = True) -> Delivered:
    return deliver.deliver(plant.params, [HOOK], at_once=at_once)


def waiting(plant: Plant) -> list[str]:
    return [notice.id for alert in plant.alerts for notice, _ in alert.waiting([HOOK])]


def addressed(plant: Plant) -> list[str]:
    return [n.id for alert in plant.alerts for n in alert.notices if HOOK in n.deliveries]


def test_a_notice_says_what_is_to_be_known_and_is_sent_once(plant, hook):
    plant.judge(0, drift(severity=Severity.CRITICAL))
    [notice] = waiting(plant)
    assert send(plant) == Delivered(1, (), 0)
    assert send(plant) == Delivered(0, (), 0)
    [message] = hook.messages
    assert message["subject"] == "[critical] drift: nut"
    assert message["body"].startswith("nut moved.\nWindow: 2026-03-01; model v0001.")
    assert hook.notices == [notice]
    assert [len(alert.waiting([EVENT])) for alert in plant.alerts] == [1, 1]


@pytest.mark.slow
@pytest.mark.parametrize("state", ["down", "broken", "hanging"])
def test_nothing_is_lost_while_the_receiver_fails(plant, hook, state):
    if state == "down":
        hook.down()
    hook.mode = state
    for number in range(10):
        plant.judge(number, drift(), *([silence()] if number > 4 else []))
        done = send(plant)
        assert len(done.failures) in (1, 2)
        assert done.unsent == len(waiting(plant))
    expected = waiting(plant)
    assert len(expected) == 4 + 2  # a first notice and reminders of each
    assert not hook.messages
    errors = [d.error for a in plant.alerts for n in a.notices for d in n.deliveries.values()]
    assert any(errors)
    hook.mode = "ok"
    if state == "down":
        hook.up()
    assert send(plant) == Delivered(6, (), 0)
    assert hook.notices == expected
    assert send(plant).sent == 0


def test_a_notice_that_was_taken_without_an_answer_comes_again_under_its_id(plant, hook):
    plant.judge(0, drift())
    hook.mode = "mute"
    assert "no answer" in send(plant).failures[0]
    hook.mode = "ok"
    assert send(plant).sent == 1
    assert hook.notices == addressed(plant) * 2


KILLED = """
import sys
from pathlib import Path
from monitoring import blocks, deliver
from tests.unit.alerts.support import Plant
block = blocks._new(blocks.BlockType.WEBHOOK, "hook", sys.argv[2], 60.0)
deliver.load_block = lambda name: block
deliver.deliver(Plant(Path(sys.argv[1]), timeout_seconds=60).params, ["custom-webhook/hook"])
"""


@pytest.mark.slow
def test_a_delivery_that_is_killed_loses_nothing(plant, hook):
    plant.judge(0, drift(), silence())
    hook.mode = "mute"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(plant.params.root), hook.url],
        cwd=Path(__file__).parents[3],
    )
    while not hook.tries:
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    expected = waiting(plant)
    assert len(expected) == 2
    hook.mode = "ok"
    assert send(plant).sent == 2
    assert hook.notices == [expected[0], *expected]


def test_an_unreachable_receiver_costs_one_timeout_a_delivery(plant, hook):
    hook.mode = "hanging"
    plant.judge(0, *(drift(f"part{number}") for number in range(20)))
    started = time.monotonic()
    send(plant)
    assert time.monotonic() - started < 5
    assert hook.tries == 1


def test_a_message_that_is_refused_holds_up_no_other_alert(plant, hook):
    hook.poison = "nut"
    plant.judge(0, drift("nut"), drift("cap"), unknown())
    assert send(plant).sent == 2
    plant.judge(4, drift("nut"), drift("cap"), unknown())
    assert send(plant).sent == 2
    hook.poison = None
    assert send(plant).sent == 2
    of_nut = [body.splitlines()[0] for body in hook.bodies[-2:]]
    assert of_nut == ["nut moved."] * 2
    assert "It goes on." in hook.bodies[-1]


def test_the_waits_double_and_a_wrong_clock_does_not_hold_a_notice_back(plant, hook):
    hook.mode = "broken"
    plant.judge(0, drift())
    assert send(plant, at_once=False).failures
    assert not send(plant, at_once=False).failures
    assert hook.tries == 1
    minutes = [wait(attempts, plant.params.alerts).total_seconds() / 60 for attempts in range(1, 9)]
    assert minutes == [5, 10, 20, 40, 80, 160, 320, 360]
    hook.mode = "ok"
    future = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=9000)
    path = plant.store.folder / f"{plant.alerts[0].id}.json"
    tried = plant.alerts[0].notices[0].deliveries[HOOK].tried_at
    text = path.read_text().replace(f"{tried:%Y-%m-%dT%H:%M}", f"{future:%Y-%m-%dT%H:%M}")
    path.write_text(text)
    assert send(plant, at_once=False).sent == 1


def test_two_deliveries_at_once_send_nothing_twice(plant, hook):
    plant.judge(0, *(drift(f"part{number}") for number in range(12)))
    threads = [threading.Thread(target=send, args=(plant,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(hook.notices) == len(set(hook.notices)) == 12


def test_what_people_do_while_a_notice_is_sent_is_kept(plant, hook):
    from normscape.alerts.people import acknowledge

    plant.judge(0, drift())
    hook.mode = "hanging"
    thread = threading.Thread(target=send, args=(plant,))
    thread.start()
    while not hook.tries:
        time.sleep(0.01)
    acknowledge(plant.params, plant.alerts[0].id, "Ann", "on it", moment(0))
    thread.join()
    assert plant.alerts[0].acknowledged is not None
    assert plant.alerts[0].notices[0].deliveries[HOOK].attempts == 1


def test_events_wait_while_prefects_server_is_down(plant, hook):
    from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

    plant.judge(0, drift())
    ids = [notice.id for alert in plant.alerts for notice, _ in alert.waiting([EVENT])]
    nobody = {PREFECT_API_URL: f"http://127.0.0.1:{free_port()}/api", PREFECT_CLIENT_MAX_RETRIES: 0}
    with temporary_settings(nobody):
        done = deliver.deliver(plant.params, [EVENT], at_once=True)
        assert deliver.deliver(plant.params, [HOOK]).sent == 1
    assert (done.sent, done.unsent) == (0, 2)
    assert "Prefect's server did not take it" in done.failures[0]
    still = [notice.id for alert in plant.alerts for notice, _ in alert.waiting([EVENT])]
    assert still == ids


def test_a_receiver_that_is_no_longer_named_waits_for_nothing(plant):
    plant.judge(0, drift())
    assert deliver.deliver(plant.params, ["slack-webhook/other"]) == Delivered(0, (), 0)


@pytest.mark.parametrize("kind", ["webhook", "apprise"])
@pytest.mark.parametrize("state", ["down", "broken", "hanging"])
def test_no_error_and_no_log_holds_the_address(hook, caplog, capfd, kind, state):
    caplog.set_level(logging.DEBUG)
    if state == "down":
        hook.down()
    hook.mode = state
    address = hook.url if kind == "webhook" else hook.url.replace("http", "json")
    block = blocks._new(BlockType[kind.upper()], "hook", address, 5.0)
    with pytest.raises(SendError) as caught:
        notify(block, "subject", "body", 1.0)
    hook.down()
    said = {
        "down": "ConnectError" if kind == "webhook" else "not reached",
        "broken": "HTTP 500",
        "hanging": "no answer within 1 s",
    }[state]
    assert said in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.reached == (state == "broken")
    shown = "".join(capfd.readouterr()) + caplog.text + str(caught.value) + repr(block)
    assert SECRET not in shown
    assert SECRET not in str(block)


def test_apprise_delivers_json(hook):
    block = AppriseAddress(url=hook.url.replace("http", "json"))
    notify(block, "subject", "body\nnotice", 5.0)
    assert (hook.messages[0]["title"], hook.bodies) == ("subject", ["body\nnotice"])


@pytest.mark.parametrize(
    ("kind", "address"),
    [
        (BlockType.WEBHOOK, "not an address"),
        (BlockType.APPRISE, f"nosuchservice://{SECRET}"),
        (BlockType.APPRISE, ""),
    ],
)
def test_a_wrong_address_is_refused_without_being_said(kind, address):
    with pytest.raises(UsageError) as caught:
        blocks._new(kind, "hook", address, 5.0)
    assert SECRET not in str(caught.value)
