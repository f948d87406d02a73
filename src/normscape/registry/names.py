"""Names of versions and aliases: malformed ones are refused before they come near a path or key."""

from __future__ import annotations

import re

from normscape.errors import UsageError
from normscape.registry.contract import PREVIOUS, PRODUCTION

_VERSION = re.compile(r"v\d{4,9}")
_ALIAS = re.compile(r"[a-z][a-z0-9_-]{0,62}")


def is_version(name: str) -> bool:
    """Whether `name` has the form of a version, v0001."""
    return _VERSION.fullmatch(name) is not None


def number(version: str) -> int:
    """The number of a version, to sort by."""
    return int(version[1:])


def check_version(name: str) -> None:
    """Refuse what is not the name of a version, before it comes near a path or a key.

    Raises:
        UsageError: The name is malformed.
    """
    if not is_version(name):
        raise UsageError(f"'{name}' is not a version; expected 'v' and digits, such as v0001")


def is_alias(name: str) -> bool:
    """Whether `name` has the form of an alias, which cannot be taken for a version."""
    return _ALIAS.fullmatch(name) is not None and re.fullmatch(r"v\d+", name) is None


def check_alias(name: str) -> None:
    """Refuse what is not the name of an alias, before it comes near a path or a key.

    Raises:
        UsageError: The name is malformed or could be taken for a version.
    """
    if not is_alias(name):
        raise UsageError(
            f"'{name}' is not the name of an alias; expected a lowercase letter, then at most 62 "
            "lowercase letters, digits, '-' or '_', and not the form of a version"
        )


def check_movable(name: str) -> None:
    """Refuse a name that is no alias, and the alias that follows another.

    Raises:
        UsageError: The name is malformed or is `previous`.
    """
    check_alias(name)
    if name == PREVIOUS:
        raise UsageError(
            f"'{PREVIOUS}' follows '{PRODUCTION}' and cannot be set; promote or roll back instead"
        )
