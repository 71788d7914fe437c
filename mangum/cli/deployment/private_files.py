"""Files that may hold secrets."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["write_private"]

_OWNER_ONLY = 0o600


def write_private(path: Path, text: str) -> None:
    """Write a text file that only its owner can read. A file that exists keeps its mode.

    Raises:
        OSError: it cannot be written.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _OWNER_ONLY)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
