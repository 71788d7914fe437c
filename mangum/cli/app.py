"""The commands, one function each."""

from __future__ import annotations

import enum
from typing import Annotated

import typer

import mangum
from mangum.exceptions import ConfigurationError
from mangum.local.server import ServerSettings, serve

__all__ = ["cli"]

cli = typer.Typer(no_args_is_help=True, add_completion=False, help="Run ASGI applications as AWS Lambda does.")


class SourceName(enum.StrEnum):
    """A front door of AWS."""

    HTTP_API = "http-api"
    REST_API = "rest-api"
    FUNCTION_URL = "function-url"
    ALB = "alb"


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


@cli.command()
def dev(
    target: Annotated[str, typer.Argument(help="What to run: an ASGI application or a Mangum, as module:attribute.")],
    source: Annotated[SourceName, typer.Option(help="The front door of AWS to stand in for.")] = SourceName.HTTP_API,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on; 0 for any free one.")] = 8000,
    timeout: Annotated[float, typer.Option(min=0, help="The function's timeout, in seconds; 0 for none.")] = 30.0,
) -> None:
    """Serve an application on this machine: each request becomes an event of AWS, as Lambda would get it."""
    try:
        serve(
            ServerSettings(target=target, source=source.value, host=host, port=port, timeout_s=timeout),
            typer.echo,
        )
    except ConfigurationError as error:
        typer.echo(f"mangum dev: {error}", err=True)
        raise typer.Exit(2) from None
