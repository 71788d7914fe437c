"""What an error says, where it must not raise another one."""

from __future__ import annotations

__all__ = ["text_of"]


def text_of(value: object) -> str:
    """The text of an error, or of any other object of the application's, also if its `__str__` fails."""
    try:
        return str(value)
    except Exception:  # which must not hide what is told of it
        return "<its text cannot be told>"
