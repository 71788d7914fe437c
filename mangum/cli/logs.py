"""`mangum logs`: what the function has said."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from mangum.cli.options import ConfigPath, EndpointURL, Profile, Region, aws_of, command, project_of
from mangum.local.printable import printable_lines

if TYPE_CHECKING:
    from mangum.cli.deployment.aws import AWS

__all__ = ["logs"]


def logs(
    config: ConfigPath = None,
    profile: Profile = None,
    region: Region = None,
    endpoint_url: EndpointURL = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for more, until Ctrl-C.")] = False,
    since: Annotated[str, typer.Option(help="How far back: 90s, 10m, 2h, 1d.")] = "10m",
) -> None:
    """Show the function's log."""
    with command("logs"):
        from mangum.cli.deployment.logs import seconds_of

        project = project_of(config)
        start_ms = int((time.time() - seconds_of(since)) * 1000)
        aws = aws_of(project, region, profile, endpoint_url)
        with suppress(KeyboardInterrupt):
            asyncio.run(_show(aws, project.name, start_ms, follow=follow))


async def _show(aws: AWS, name: str, start_ms: int, *, follow: bool) -> None:
    from mangum.cli.deployment.errors import CommandError
    from mangum.cli.deployment.logs import log_lines
    from mangum.cli.deployment.stack import Stack

    async with Stack.of(aws, name) as stack:
        group = (await stack.outputs()).get("LogGroup")
    if group is None:
        raise CommandError(f"The stack {name} has no output LogGroup: `mangum package` did not write its template.")
    async with aws.client("logs") as client:
        async for event in log_lines(client, group, start_ms, follow=follow):
            clock = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event["timestamp"] / 1000))
            typer.echo(f"{clock}  {printable_lines(event['message'].rstrip())}")
