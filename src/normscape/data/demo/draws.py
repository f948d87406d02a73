"""Random choices that are the same on every machine and with every library version."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")


class Draws:
    """A named stream of integers: the n-th draw is the SHA-256 of the name and n.

    Args:
        name: What the stream is for; two streams of one name give the same draws.
    """

    def __init__(self, *name: object) -> None:
        self._name = "/".join(str(part) for part in name)
        self._count = 0

    def below(self, limit: int) -> int:
        """Return an integer from 0 to `limit` - 1."""
        self._count += 1
        return _digest(f"{self._name}#{self._count}") % limit

    def between(self, low: int, high: int) -> int:
        """Return an integer from `low` to `high`, both included."""
        return low + self.below(high - low + 1)

    def choice(self, options: Sequence[T]) -> T:
        """Return one of `options`."""
        return options[self.below(len(options))]


def hash_order(name: str, items: Iterable[T], key: Callable[[T], object] = str) -> list[T]:
    """Return `items` in the order of their own hashes under `name`, whatever order they came in.

    Args:
        name: What the order is for.
        items: What to put in order.
        key: What of an item is hashed.
    """
    return sorted(items, key=lambda item: _digest(f"{name}/{key(item)}"))


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest(), "big")
