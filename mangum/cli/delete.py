"""`mangum delete`: the stack, and all that it has made."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import typer

from mangum.cli.deploy import tell_event
from mangum.cli.options import (
    ConfigPath,
    EndpointURL,
    Profile,
    Region,
    Yes,
    asks_questions,
    aws_of,
    command,
    project_of,
)

if TYPE_CHECKING:
    from mangum.cli.deployment.aws import AWS

__all__ = ["delete"]


def delete(
    config: ConfigPath = None,
    profile: Profile = None,
    region: Region = None,
    endpoint_url: EndpointURL = None,
    yes: Yes = False,
) -> None:
    """Delete the stack: function, APIs, log and connections table. The bucket stays as it is."""
    with command("delete"):
        from mangum.cli.deployment.errors import CommandError

        project = project_of(config)
        aws = aws_of(project, region, profile, endpoint_url)
        if not yes:
            if not asks_questions():
                raise CommandError(
                    "This needs a confirmation, and standard input is not a terminal. Pass --yes to skip it."
                )
            if not typer.confirm(f"Delete the stack {project.name} in {aws.region}?"):
                raise CommandError("Nothing was deleted.")
        was_there = asyncio.run(_delete(aws, project.name))
        typer.echo(f"Deleted {project.name}." if was_there else f"There is no stack {project.name} here.")


async def _delete(aws: AWS, name: str) -> bool:
    from mangum.cli.deployment.stack import Stack

    async with Stack.of(aws, name) as stack:
        return await stack.delete(tell_event)
