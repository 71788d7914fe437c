"""`mangum dev`: its options, and what they mean to the local gateway."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

from mangum.cli.options import StoreDSN
from mangum.exceptions import ConfigurationError
from mangum.local.settings import ServerSettings

__all__ = ["RuntimeName", "SourceName", "dev"]


class SourceName(enum.StrEnum):
    """A front door of AWS that `mangum dev` stands in for."""

    HTTP_API = "http-api"
    REST_API = "rest-api"
    FUNCTION_URL = "function-url"
    ALB = "alb"


class RuntimeName(enum.StrEnum):
    """What a worker process runs."""

    MANGUM = "mangum"
    AWSLAMBDARIC = "awslambdaric"


_FRONT = "The front door"
_WEBSOCKETS = "The WebSocket API"
_FUNCTION = "The function"


def dev(
    target: Annotated[str, typer.Argument(help="What to run: an ASGI application or a Mangum, as module:attribute.")],
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on; 0 for any free one.")] = 8000,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(
            help="Answer to this name too, beside localhost; .example.com is a domain with its subdomains. As often as "
            "needed."
        ),
    ] = None,
    dashboard: Annotated[bool, typer.Option(help="Show the invocations at /_mangum, to this machine only.")] = True,
    source: Annotated[
        SourceName, typer.Option(help="The front door of AWS to stand in for.", rich_help_panel=_FRONT)
    ] = SourceName.HTTP_API,
    stage: Annotated[
        str | None, typer.Option(help="The API's stage: its URL then begins with /STAGE.", rich_help_panel=_FRONT)
    ] = None,
    base_path: Annotated[
        str, typer.Option(help="The mapping of a custom domain to an API, like /v1.", rich_help_panel=_FRONT)
    ] = "",
    multi_value_headers: Annotated[
        bool, typer.Option("--multi-value-headers", help="The load balancer's attribute.", rich_help_panel=_FRONT)
    ] = False,
    integration_timeout: Annotated[
        float | None,
        typer.Option(
            min=0.05,
            help="How long an API waits for the function, in seconds; AWS's by default.",
            rich_help_panel=_FRONT,
        ),
    ] = None,
    route: Annotated[
        list[str] | None,
        typer.Option(help="A route of its own, beside $default; as often as needed.", rich_help_panel=_WEBSOCKETS),
    ] = None,
    default_route: Annotated[
        bool, typer.Option(help="Whether there is a $default route.", rich_help_panel=_WEBSOCKETS)
    ] = True,
    route_selection_expression: Annotated[
        str, typer.Option(help="What selects a message's route.", rich_help_panel=_WEBSOCKETS)
    ] = "$request.body.action",
    route_response: Annotated[
        bool,
        typer.Option("--route-response", help="Send the body of an answer to the client.", rich_help_panel=_WEBSOCKETS),
    ] = False,
    idle_timeout: Annotated[
        float, typer.Option(min=0.05, help="How long a connection may be idle, in s.", rich_help_panel=_WEBSOCKETS)
    ] = 600.0,
    connection_duration: Annotated[
        float, typer.Option(min=0.05, help="How long a connection may be open, in s.", rich_help_panel=_WEBSOCKETS)
    ] = 7200.0,
    timeout: Annotated[
        float,
        typer.Option(
            min=0, help="The function's timeout, in seconds; 0: none, for a debugger.", rich_help_panel=_FUNCTION
        ),
    ] = 30.0,
    memory: Annotated[
        int, typer.Option(min=128, max=10_240, help="The function's memory, in MB.", rich_help_panel=_FUNCTION)
    ] = 1769,
    workers: Annotated[
        int,
        typer.Option(
            min=0,
            help="Processes, each with one event at a time as in Lambda; 0: the function runs in this process.",
            rich_help_panel=_FUNCTION,
        ),
    ] = 0,
    runtime: Annotated[
        RuntimeName, typer.Option(help="What the processes run: mangum's, or AWS's own.", rich_help_panel=_FUNCTION)
    ] = RuntimeName.MANGUM,
    stream: Annotated[
        bool,
        typer.Option(
            "--stream",
            help="Stream responses: for rest-api and function-url, with --workers.",
            rich_help_panel=_FUNCTION,
        ),
    ] = False,
    reload: Annotated[
        bool, typer.Option(help="Load the function's code anew when it changes.", rich_help_panel=_FUNCTION)
    ] = True,
    dsn: StoreDSN = None,
) -> None:
    """Serve an application on this machine, as a front door of AWS and Lambda do."""
    from mangum.local.server import serve  # which loads a web server: other commands need none

    settings = ServerSettings(
        target=target,
        folder=Path.cwd(),
        host=host,
        port=port,
        allowed_hosts=tuple(allowed_host or ()),
        has_dashboard=dashboard,
        source=source.value,
        stage=stage,
        base_path=base_path,
        multi_value_headers=multi_value_headers,
        integration_timeout_s=integration_timeout,
        routes=tuple(route or ()),
        has_default_route=default_route,
        route_selection_expression=route_selection_expression,
        route_responses=route_response,
        idle_timeout_s=idle_timeout,
        connection_duration_s=connection_duration,
        timeout_s=timeout,
        memory_mb=memory,
        workers=workers,
        runtime=runtime.value,
        streams=stream,
        reloads=reload,
        dsn=dsn,
    )
    try:
        serve(settings, typer.echo)
    except ConfigurationError as error:
        typer.echo(f"mangum dev: {error}", err=True)
        raise typer.Exit(2) from None
