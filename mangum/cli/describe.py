"""`mangum describe`: where a stack answers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import typer

from mangum.cli.deploy import print_outputs
from mangum.cli.options import AsJSON, ConfigPath, EndpointURL, Profile, Region, aws_of, command, project_of
from mangum.cli.output import print_json

if TYPE_CHECKING:
    from mangum.cli.deployment.aws import AWS

__all__ = ["describe"]


def describe(
    config: ConfigPath = None,
    profile: Profile = None,
    region: Region = None,
    endpoint_url: EndpointURL = None,
    as_json: AsJSON = False,
) -> None:
    """Show the stack's status, and the URLs of its APIs."""
    with command("describe"):
        project = project_of(config)
        found = asyncio.run(_describe(aws_of(project, region, profile, endpoint_url), project.name))
        if as_json:
            print_json(found)
        else:
            typer.echo(f"{found['name']}: {found['status']}")
            print_outputs(found["outputs"], as_json=False)


async def _describe(aws: AWS, name: str) -> dict[str, Any]:
    from mangum.cli.deployment.stack import Stack

    async with Stack.of(aws, name) as stack:
        outputs = await stack.outputs()
        found = await stack.describe()
        return {"name": name, "status": (found or {}).get("StackStatus"), "outputs": outputs}
