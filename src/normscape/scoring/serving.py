"""Which version serves: an alias is followed, and the next version opened while this one scores."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType

import torch

from normscape.errors import NormscapeError, UsageError
from normscape.params import Params
from normscape.registry.bundle import Bundle
from normscape.registry.store import open_registry
from normscape.scoring.scorer import Scorer

_RETRY_SECONDS = 30.0


@dataclass(frozen=True)
class Served:
    """A version that has scored here.

    Attributes:
        version: Its name.
        scorer: The bundle, ready to score.
    """

    version: str
    scorer: Scorer


def open_served(
    params: Params, version: str, runtime: str | None = None, precision: str | None = None
) -> Served:
    """Verify a version, load it and score a grey picture, so that whoever takes it can serve.

    Raises:
        NormscapeError: It is damaged, or cannot run here.
    """
    bundle = Bundle.load(open_registry(params).get(version))
    scorer = Scorer.open(
        bundle, runtime=runtime, precision=precision, root=params.root,
        cache=params.state / "cache",
    )  # fmt: skip
    side = scorer.identity.input_size
    scorer.score_batch(torch.full((1, 3, side, side), 0.5), [None])
    return Served(version, scorer)


class Follower:
    """Opens what an alias moves to, in the background; of a version that fails it warns once.

    Args:
        params: The project.
        alias: An alias or version of the registry.
        warn: Told what a person should know.
        runtime: Insist on this runtime; each bundle's own when None.
        precision: Insist on this precision; each bundle's own when None.
    """

    def __init__(
        self,
        params: Params,
        alias: str,
        warn: Callable[[str], None],
        *,
        runtime: str | None = None,
        precision: str | None = None,
    ) -> None:
        self._params = params
        self._alias = alias
        self._warn = warn
        self._asked = (runtime, precision)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="follow")
        self._look: Future[Served | None] | None = None
        self._refused: dict[str, float] = {}
        self._warned: set[str] = set()

    def __enter__(self) -> Follower:
        """Nothing is done before the first look."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait for what is being opened."""
        self._pool.shutdown(cancel_futures=True)

    def first(self, before: str | None) -> Served:
        """The version that the alias names now; where it cannot serve, the one that did.

        Args:
            before: The version that served last, if any did.

        Raises:
            UsageError: There is no such alias, or another runtime than the bundle's was asked for.
            NormscapeError: None can be used here.
        """
        version = ""
        try:
            version = open_registry(self._params).resolve(self._alias)
            return open_served(self._params, version, *self._asked)
        except NormscapeError as error:
            if before is None or before == version or isinstance(error, UsageError):
                raise
            self._refuse(version, f"{before}, which served before, goes on", error)
            return open_served(self._params, before, *self._asked)

    def next(self, serving: str) -> Served | None:
        """Another version, if the alias names one and it is ready; never waits.

        Args:
            serving: The version that serves.
        """
        if self._look is None:
            self._look = self._pool.submit(self._open_other, serving)
            return None
        if not self._look.done():
            return None
        found, self._look = self._look.result(), None
        return found

    def _open_other(self, serving: str) -> Served | None:
        version = ""
        try:
            registry = open_registry(self._params)
            version = registry.resolve(self._alias)
            self._warned.discard("")
            if version == serving or time.monotonic() < self._refused.get(version, 0.0):
                return None
            found = open_served(self._params, version, *self._asked)
            self._warned.discard(version)
            return found if registry.resolve(self._alias) == version else None
        except Exception as error:  # whatever is wrong with it must not stop the one that serves
            self._refuse(version, f"{serving} goes on", error)
            return None

    def _refuse(self, version: str, instead: str, error: Exception) -> None:
        self._refused[version] = time.monotonic() + _RETRY_SECONDS
        if version not in self._warned:
            self._warned.add(version)
            self._warn(f"{version or self._alias} cannot serve, {instead}: {error}")
