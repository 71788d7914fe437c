"""`mangum events`: what Lambda would be given."""

from __future__ import annotations

import enum
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from mangum.cli.output import print_json
from mangum.exceptions import ConfigurationError
from mangum.local.events.requests import EventSettings
from mangum.local.samples import SOURCES, WEBSOCKET, sample_event, sample_request, sample_websocket_event

__all__ = ["EventSource", "events"]

# The command line accepts the values of the enumeration, and lists them in its help.
if TYPE_CHECKING:
    EventSource: TypeAlias = enum.StrEnum
else:
    EventSource = enum.StrEnum("EventSource", {name: name for name in SOURCES})


def events(
    source: Annotated[EventSource, typer.Argument(help="Whose event.")],
    method: Annotated[
        str | None, typer.Argument(help="GET, POST, ...; of a WebSocket CONNECT, MESSAGE or DISCONNECT.")
    ] = None,
    path: Annotated[str, typer.Argument(help="Path and query, quoted or not.")] = "/",
    query: Annotated[list[str] | None, typer.Option(help="NAME=VALUE, as often as needed.")] = None,
    header: Annotated[
        list[str] | None, typer.Option("--header", "-H", help='"Name: value", as often as needed.')
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", "-d", help="The body, or @FILE to read it from, @- for standard input.")
    ] = None,
    stage: Annotated[str | None, typer.Option(help="The stage of an API.")] = None,
    base_path: Annotated[str, typer.Option(help="The mapping of a custom domain to an API, like /v1.")] = "",
    multi_value_headers: Annotated[
        bool, typer.Option("--multi-value-headers", help="The load balancer's attribute.")
    ] = False,
    route: Annotated[str | None, typer.Option(help="The route of a WebSocket's message.")] = None,
    connection_id: Annotated[str | None, typer.Option(help="Of a WebSocket.")] = None,
) -> None:
    """Print a sample event, as AWS makes it of a request.

    mangum events http-api GET /items/1 --query q=x | mangum invoke app:handler -
    """
    try:
        body = None if data is None else _read(data)
        request = sample_request(method, path, query=query or (), headers=header or (), data=body)
        if source.value == WEBSOCKET:
            named = {"connection_id": connection_id, "stage": stage}
            given = {name: value for name, value in named.items() if value is not None}
            event = sample_websocket_event(method, request, data=body, route=route, **given)
        else:
            event = sample_event(
                source.value,
                request,
                EventSettings(stage=stage, base_path=base_path, multi_value_headers=multi_value_headers),
            )
    except (ConfigurationError, OSError) as error:
        typer.echo(f"mangum events: {error}", err=True)
        raise typer.Exit(2) from None
    print_json(event)


def _read(data: str) -> bytes:
    if not data.startswith("@"):
        return data.encode(errors="surrogateescape")
    return sys.stdin.buffer.read() if data == "@-" else Path(data[1:]).read_bytes()
