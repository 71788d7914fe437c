"""Output for people and for programs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer

__all__ = ["is_for_people", "print_json", "progress", "size"]


def is_for_people() -> bool:
    """Whether a terminal shows it, and colours are wanted: https://no-color.org"""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def print_json(value: Any) -> None:
    """In colour on a terminal that wants it, plain in a pipe."""
    document = json.dumps(value, indent=2, ensure_ascii=False)
    document = document.encode(errors="backslashreplace").decode()  # halves of surrogate pairs, as JSON escapes them
    if is_for_people():
        from rich.console import Console  # 50 ms, which a pipe need not wait for

        Console().print_json(document, ensure_ascii=False)
    else:
        typer.echo(document)


@contextmanager
def progress(text: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar for so many bytes, on a terminal. What is yielded is told of each few that are done."""
    if not is_for_people():
        yield lambda done: None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    with Progress(TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()) as bars:
        task = bars.add_task(text, total=total)
        yield lambda done: bars.update(task, advance=done)


def size(count: int) -> str:
    """Bytes, as people read them."""
    if count < 1024 * 1024:
        return f"{count / 1024:.0f} KB"
    return f"{count / 1024 / 1024:.1f} MB"
