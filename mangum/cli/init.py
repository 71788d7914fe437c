"""`mangum init`: a project's first files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mangum.cli.options import asks_questions, command

__all__ = ["init"]


def init(
    name: Annotated[str | None, typer.Argument(help="Of the stack.")] = None,
    bucket: Annotated[str | None, typer.Argument(help="For the code; by default a new name.")] = None,
    region: Annotated[str | None, typer.Argument(help="By default the one that AWS's tools are set to.")] = None,
    runtime: Annotated[str | None, typer.Argument(help="python3.11 to python3.14.")] = None,
    architecture: Annotated[str, typer.Option(help="x86_64 or arm64.")] = "x86_64",
    api: Annotated[str, typer.Option(help="http, rest, url or none.")] = "http",
    websockets: Annotated[bool, typer.Option(help="A WebSocket API too.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Write mangum.yml anew.")] = False,
) -> None:
    """Write mangum.yml, and an application to begin with where there is none."""
    with command("init"):
        from mangum.cli.deployment.errors import CommandError
        from mangum.cli.deployment.project import NewProject, suggested_bucket, write_project
        from mangum.local.function import own_region

        asks = asks_questions()
        if name is None:
            if not asks:
                raise CommandError("NAME is missing: it becomes the name of the stack.")
            name = typer.prompt("Name of the stack", default=Path.cwd().name)
        suggested = suggested_bucket(name), own_region(), "python3.13"
        if asks:
            bucket = bucket or typer.prompt("Bucket for the code", default=suggested[0])
            region = region or typer.prompt("Region", default=suggested[1])
            runtime = runtime or typer.prompt("Runtime", default=suggested[2])
        project = NewProject(
            name=name,
            bucket=bucket or suggested[0],
            region=region or suggested[1],
            runtime=runtime or suggested[2],
            architecture=architecture,
            api=api,
            websockets=websockets,
        )
        for path in write_project(Path.cwd(), project, force=force):
            typer.echo(f"Wrote {path.relative_to(Path.cwd())}")
        typer.echo("Next: `mangum all` builds and deploys it.")
