"""Errors that end a command with one clear line instead of a traceback."""


class NormscapeError(Exception):
    """A problem the user can act on: says what, where, what was expected and what to do.

    Attributes:
        exit_code: The process exit code: 1 for a failed gate, validation or run, 2 for wrong usage.
    """

    exit_code = 1


class UsageError(NormscapeError):
    """A wrong argument, parameter or path: the command was asked for something impossible."""

    exit_code = 2


class DataError(NormscapeError):
    """Images, masks or folders that cannot be used as they are."""


class GateError(NormscapeError):
    """A model missed a threshold or is worse than the champion."""


class BusyError(NormscapeError):
    """Another process holds the lock of the same work."""
