"""`mangum validate`: whether the template can be deployed."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mangum.cli.options import ConfigPath, EndpointURL, Profile, Region, aws_of, command, project_of

if TYPE_CHECKING:
    from mangum.cli.deployment.aws import AWS
    from mangum.cli.deployment.config import ProjectConfig

__all__ = ["validate"]

_LINT_S = 120.0


def validate(
    config: ConfigPath = None, profile: Profile = None, region: Region = None, endpoint_url: EndpointURL = None
) -> None:
    """Check the template, by cfn-lint if that is installed, and by CloudFormation."""
    with command("validate"):
        project = project_of(config)
        _validate(project, aws_of(project, region, profile, endpoint_url))


def _validate(project: ProjectConfig, aws: AWS) -> None:
    from mangum.cli.deployment.errors import CommandError

    path = project.packaged_template if project.packaged_template.is_file() else project.template
    if not path.is_file():
        raise CommandError("There is no template: `mangum package` writes it.")
    linter = shutil.which("cfn-lint")
    if linter is None:
        typer.echo("cfn-lint is not installed: `pip install cfn-lint` for more.", err=True)
    else:
        _lint(linter, path, aws.region)
    asyncio.run(_ask(aws, path.read_text(encoding="utf-8")))
    typer.echo(f"{path.name} can be deployed.")


def _lint(linter: str, path: Path, region: str) -> None:
    from mangum.cli.deployment.errors import CommandError

    command_line = [linter, "--regions", region, "--format", "parseable", "--", str(path)]
    done = subprocess.run(command_line, capture_output=True, text=True, timeout=_LINT_S)
    if done.returncode:
        raise CommandError(f"cfn-lint says of {path.name}:\n{(done.stdout + done.stderr).strip()}")
    typer.echo("cfn-lint has found nothing.")


async def _ask(aws: AWS, body: str) -> None:
    async with aws.client("cloudformation") as client:
        await client.validate_template(TemplateBody=body)
