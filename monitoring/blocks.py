"""Prefect's notification blocks: the only place that knows an address, and says none.

An address is a secret: whoever has it can write into the team's channel. It lies in the block's
document on Prefect's server and reaches neither parameters, logs, artifacts nor the alert store, so
an error keeps its kind and its HTTP status and loses its words.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import re
import threading
from collections.abc import Coroutine
from enum import StrEnum
from typing import Any, ClassVar, cast

from prefect.blocks.abstract import NotificationBlock, NotificationError
from prefect.blocks.core import Block
from prefect.blocks.notifications import (
    AppriseNotificationBlock,
    CustomWebhookNotificationBlock,
    MicrosoftTeamsWebhook,
    SlackWebhook,
)
from prefect.types import SecretDict
from pydantic import SecretStr

from normscape.errors import NormscapeError, UsageError

# They print whole addresses at INFO or DEBUG.
_TALKATIVE = ("apprise", "httpx", "httpcore", "urllib3", "requests")


class SendError(Exception):
    """A notice was not taken; the text holds no address.

    Attributes:
        reached: Whether the receiver answered.
    """

    def __init__(self, text: str, *, reached: bool) -> None:
        super().__init__(text)
        self.reached = reached


class AppriseAddress(AppriseNotificationBlock):
    """Any address that Apprise knows: mailtos:// for e-mail, json://, and a hundred services."""

    _block_type_name: ClassVar[str] = "Apprise Address"
    _block_type_slug: ClassVar[str] = "apprise-address"


class BlockType(StrEnum):
    """The blocks that can be made here; the slug of Prefect's block type is the value."""

    WEBHOOK = "custom-webhook"
    SLACK = "slack-webhook"
    TEAMS = "ms-teams-webhook"
    APPRISE = "apprise-address"


def make_block(kind: BlockType, name: str, address: str, timeout: float) -> str:
    """Save a block on Prefect's server, in place of one of that name; returns `type/name`.

    A webhook gets the JSON body `{"subject": ..., "body": ...}`.

    Raises:
        UsageError: The name or the address is not one that the block takes.
        NormscapeError: Prefect's server did not take it.
    """
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        raise UsageError(
            f"'{name}' is not a block's name; expected lowercase letters, digits and dashes"
        )
    block = _new(kind, name, address, timeout)
    try:
        block.save(name, overwrite=True)
    except Exception as error:
        raise NormscapeError(
            f"Prefect's server did not take the block ({type(error).__name__}); check its address "
            "(NORMSCAPE_PREFECT_API_URL) and its log"
        ) from None
    return f"{kind}/{name}"


def _new(kind: BlockType, name: str, address: str, timeout: float) -> NotificationBlock:
    _hush()
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://\S+$", address):
        raise UsageError("that is not an address; expected one such as https://… or mailtos://…")
    try:
        if kind is BlockType.WEBHOOK:
            # Prefect keeps a webhook's url readable; only `secrets` are hidden
            return CustomWebhookNotificationBlock(
                name=name, url="{{address}}", timeout=timeout, headers=None, cookies=None,
                json_data={"subject": "{{subject}}", "body": "{{body}}"},
                secrets=SecretDict({"address": address}),
            )  # fmt: skip
        types = {
            BlockType.SLACK: SlackWebhook,
            BlockType.TEAMS: MicrosoftTeamsWebhook,
            BlockType.APPRISE: AppriseAddress,
        }
        block: NotificationBlock = types[kind](url=SecretStr(address))
    except Exception as error:
        raise _unusable(kind, type(error).__name__) from None
    if not getattr(block, "_apprise_client", (None,)):
        raise _unusable(kind, "Apprise does not know it")
    return block


def _unusable(kind: BlockType, reason: str) -> UsageError:
    return UsageError(f"a block of the type {kind} does not take this address: {reason}")


def load_block(receiver: str) -> NotificationBlock:
    """The block `type/name` from Prefect's server.

    Raises:
        SendError: There is none, or the server does not answer.
    """
    _hush()
    try:
        block = Block.load(receiver)
    except ValueError:
        raise SendError(
            f"Prefect's server has no block '{receiver}'; make it with 'python -m flows.notify "
            "add', or correct alerts.blocks",
            reached=False,
        ) from None
    except Exception as error:
        raise SendError(
            f"Prefect's server did not give the block ({type(error).__name__})", reached=False
        ) from None
    if not isinstance(block, NotificationBlock):
        raise SendError(f"'{receiver}' is not a notification block", reached=False)
    return block


def notify(block: NotificationBlock, subject: str, body: str, timeout: float) -> None:
    """Send a notification.

    Args:
        block: From `load_block`.
        subject: One line.
        body: The text.
        timeout: Seconds after which the receiver counts as unreachable; it may still take the
            notification then.

    Raises:
        SendError: It was not taken.
    """
    outcome: list[Exception | None] = []

    def send() -> None:
        try:
            with block.raise_on_failure():
                sent = cast(Any, block).notify(body, subject)
                if inspect.isawaitable(sent):  # a block of somebody else's may have it so only
                    asyncio.run(cast(Coroutine[Any, Any, None], sent))
        except Exception as error:
            outcome.append(error)
        else:
            outcome.append(None)

    # Not every block has a time limit of its own; nobody waits for a thread that hangs.
    thread = threading.Thread(target=send, name="notify", daemon=True)
    thread.start()
    thread.join(timeout)
    if not outcome:
        raise SendError(f"no answer within {timeout:g} s", reached=False)
    if outcome[0] is not None:
        raise explain(outcome[0]) from None


def explain(error: Exception) -> SendError:
    """What may be said of an error, whose words may hold the address."""
    import httpx

    if isinstance(error, SendError):
        return error
    if isinstance(error, httpx.HTTPStatusError):
        return SendError(f"HTTP {error.response.status_code}", reached=True)
    if isinstance(error, NotificationError):
        status = re.search(r"error[=:] ?(\d{3})\b", str(error.log))
        if status:
            return SendError(f"HTTP {status[1]}", reached=True)
        return SendError("the receiver was not reached or refused it", reached=False)
    return SendError(type(error).__name__, reached=False)


def _hush() -> None:
    """For good: a send that was given up may still be going on."""
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
