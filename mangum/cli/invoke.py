"""`mangum invoke`: one event through a function, here."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from mangum.cli.options import StoreDSN
from mangum.cli.output import print_json
from mangum.exceptions import ConfigurationError
from mangum.local.function import EventTooLarge, FunctionFailed, FunctionSettings, own_region
from mangum.local.invocations import Invocation
from mangum.local.printable import printable_lines

__all__ = ["invoke"]


def invoke(
    target: Annotated[str, typer.Argument(help="What to run: an ASGI application or a Mangum, as module:attribute.")],
    event: Annotated[str, typer.Argument(help="A file with the event as JSON, or - for standard input.")],
    timeout: Annotated[float, typer.Option(min=0, help="The function's timeout, in seconds; 0: none.")] = 30.0,
    memory: Annotated[int, typer.Option(min=128, max=10_240, help="The function's memory, in MB.")] = 1769,
    dsn: StoreDSN = None,
) -> None:
    """Run one event through a function and print its answer. What the function prints goes to standard error."""
    try:
        document = _read(event)
        with tempfile.TemporaryDirectory(prefix="mangum-") as folder, contextlib.redirect_stdout(sys.stderr):
            invocation = Invocation(source="invoke", title=event, event=document)
            settings = FunctionSettings(
                target=target,
                folder=Path.cwd(),
                memory_mb=memory,
                timeout_s=timeout,
                region=own_region(),
                environment={"MANGUM_DSN": dsn or f"sqlite://{folder}/connections.db"},
            )
            answer = asyncio.run(_run(settings, invocation))
    except ConfigurationError as error:
        typer.echo(f"mangum invoke: {printable_lines(str(error))}", err=True)
        raise typer.Exit(2) from None
    except (FunctionFailed, EventTooLarge) as error:
        typer.echo(f"mangum invoke: {printable_lines(str(error))}", err=True)
        raise typer.Exit(1) from None
    print_json(json.loads(answer))
    typer.echo(f"{invocation.duration_ms:.1f} ms, after {invocation.init_ms:.0f} ms of init", err=True)


async def _run(settings: FunctionSettings, invocation: Invocation) -> str:
    from mangum.local.in_process import InProcess  # after what it was told has been looked at

    async with InProcess(settings) as function:
        return await function.invoke(invocation)


def _read(event: str) -> Any:
    name = "Standard input" if event == "-" else event
    try:
        return json.loads(sys.stdin.buffer.read() if event == "-" else Path(event).read_bytes())
    except OSError as error:
        raise ConfigurationError(f"{event} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise ConfigurationError(f"{name} has no JSON: {error}. `mangum events` makes events.") from None
