"""JSON for people and for programs."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import typer

__all__ = ["print_json"]


def print_json(value: Any) -> None:
    """In colour on a terminal that wants it, plain in a pipe."""
    document = json.dumps(value, indent=2, ensure_ascii=False)
    if sys.stdout.isatty() and not os.environ.get("NO_COLOR"):  # https://no-color.org
        from rich.console import Console  # 50 ms, which a pipe need not wait for

        Console().print_json(document, ensure_ascii=False)
    else:
        typer.echo(document)
