"""The commands: each has a file of its own."""

from __future__ import annotations

from typing import Annotated

import typer

import mangum
from mangum.cli.dev import dev
from mangum.cli.events import events
from mangum.cli.invoke import invoke

__all__ = ["cli"]

cli = typer.Typer(no_args_is_help=True, add_completion=False, help="Run ASGI applications as AWS Lambda does.")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(mangum.__version__)
        raise typer.Exit


@cli.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Run ASGI applications as AWS Lambda does."""


cli.command()(dev)
cli.command()(events)
cli.command()(invoke)
