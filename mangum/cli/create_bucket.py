"""`mangum create-bucket`: where the code goes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import typer

from mangum.cli.options import ConfigPath, EndpointURL, Profile, Region, aws_of, command, project_of

if TYPE_CHECKING:
    from mangum.cli.deployment.aws import AWS
    from mangum.cli.deployment.config import ProjectConfig

__all__ = ["create_bucket", "run_create_bucket"]


def create_bucket(
    config: ConfigPath = None, profile: Profile = None, region: Region = None, endpoint_url: EndpointURL = None
) -> None:
    """Make the bucket that the configuration names, for its owner alone."""
    with command("create-bucket"):
        project = project_of(config)
        run_create_bucket(project, aws_of(project, region, profile, endpoint_url))


def run_create_bucket(project: ProjectConfig, aws: AWS) -> None:
    """The command, for a project.

    Raises:
        CommandError: the bucket cannot be made.
    """
    from mangum.cli.deployment.bucket import create_bucket as create

    is_new = asyncio.run(create(aws, project.bucket_name))
    typer.echo(f"{'Made' if is_new else 'There already:'} s3://{project.bucket_name}")
