"""The commands: each has a file of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

import mangum
from mangum.cli.build import build
from mangum.cli.create_bucket import create_bucket
from mangum.cli.delete import delete
from mangum.cli.deploy import deploy
from mangum.cli.describe import describe
from mangum.cli.dev import dev
from mangum.cli.events import events
from mangum.cli.everything import everything
from mangum.cli.init import init
from mangum.cli.invoke import invoke
from mangum.cli.logs import logs
from mangum.cli.package import package
from mangum.cli.validate import validate

__all__ = ["cli"]

cli: typer.Typer = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False, help="Run ASGI applications as AWS Lambda does."
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(mangum.__version__)
        raise typer.Exit


@cli.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Run ASGI applications as AWS Lambda does."""


_LOCAL = "On your machine"
_AWS = "On AWS"

_COMMANDS: dict[str, tuple[Callable[..., None], ...]] = {
    _LOCAL: (dev, events, invoke),
    _AWS: (init, build, package, deploy, describe, logs, validate, delete),
}
for _panel, _commands in _COMMANDS.items():
    for _command in _commands:
        cli.command(rich_help_panel=_panel)(_command)
cli.command("create-bucket", rich_help_panel=_AWS)(create_bucket)
cli.command("all", rich_help_panel=_AWS)(everything)
