"""What ends a command: one sentence, for whoever typed it."""

from __future__ import annotations

__all__ = ["CommandError"]


class CommandError(Exception):
    """What was wrong, and what to do about it."""
