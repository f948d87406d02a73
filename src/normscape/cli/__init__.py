"""The command line: one verb per DVC stage and per user's job; imports wait for their verb."""

from normscape.cli.main import app, main

__all__ = ["app", "main"]
