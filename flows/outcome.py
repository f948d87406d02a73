"""Errors a user can act on end a run as Failed with their sentence, not with a traceback."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from prefect import State
from prefect.states import Failed

from normscape.errors import NormscapeError

P = ParamSpec("P")
R = TypeVar("R")


def clear_errors(function: Callable[P, R]) -> Callable[P, R]:
    """Put below `@flow` or `@task`: a `NormscapeError` becomes the run's final state.

    Whoever called the run still gets the error itself, because the state carries it.
    """

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Any:
        try:
            return function(*args, **kwargs)
        except NormscapeError as error:
            failed: State[Any] = Failed(message=str(error), data=error)
            return failed

    return wrapper
