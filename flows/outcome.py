"""Errors a user can act on end a run as Failed with their sentence, not with a traceback."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from prefect import State
from prefect.states import Failed

from normscape.errors import NormscapeError

P = ParamSpec("P")
R = TypeVar("R")


def clear_errors(function: Callable[P, R]) -> Callable[P, R]:
    """Put below `@flow`: a `NormscapeError` becomes the run's final state.

    Whoever called the flow still gets the error itself, because the state carries it. Not for a
    task: one that *returns* a failed state does not stop its caller.
    """

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Any:
        try:
            return function(*args, **kwargs)
        except NormscapeError as error:
            failed: State[Any] = Failed(message=str(error), data=error)
            return failed

    return wrapper


class _WithoutTraceback(logging.Filter):
    """Prefect logs the exception of a failed run with its traceback; the sentence is enough."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and isinstance(record.exc_info[1], NormscapeError):
            record.exc_info = None
        return True


for _name in ("prefect.task_runs", "prefect.flow_runs"):
    logging.getLogger(_name).addFilter(_WithoutTraceback())
