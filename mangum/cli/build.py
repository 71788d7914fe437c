"""`mangum build`: code and requirements for Lambda, in one folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from mangum.cli.options import Check, ConfigPath, Pip, command, project_of
from mangum.cli.output import size

if TYPE_CHECKING:
    from mangum.cli.deployment.config import ProjectConfig

__all__ = ["build", "run_build"]

_MOST_SHOWN = 8


def build(
    config: ConfigPath = None,
    pip: Pip = True,
    check: Check = True,
) -> None:
    """Put code and requirements together in build/, for Lambda's platform."""
    with command("build"):
        run_build(project_of(config), installs=pip, checks=check)


def run_build(project: ProjectConfig, *, installs: bool, checks: bool) -> None:
    """The command, for a project.

    Raises:
        CommandError: it cannot be built.
    """
    from mangum.cli.deployment.build import build as build_project
    from mangum.cli.deployment.platform import MOST_UNZIPPED_BYTES

    typer.echo(f"Building for {project.runtime} on {project.architecture} ...")
    built = build_project(project, installs=installs, checks=checks)
    if built.left_out:
        typer.echo(f"Left out of {project.code_dir}/: {_names(built.left_out)}")
    if built.unused_tests:
        typer.echo(f"Left out, since nothing imports it: {_names(built.unused_tests)}")
    for name, bytes_ in list(built.sizes.items())[:_MOST_SHOWN]:
        typer.echo(f"  {size(bytes_):>9}  {name}")
    if len(built.sizes) > _MOST_SHOWN:
        rest = sum(list(built.sizes.values())[_MOST_SHOWN:])
        typer.echo(f"  {size(rest):>9}  {len(built.sizes) - _MOST_SHOWN} more")
    typer.echo(f"build/: {size(built.size)} of {size(MOST_UNZIPPED_BYTES)} that Lambda takes, {built.digest[:12]}")
    if built.size > MOST_UNZIPPED_BYTES:
        typer.echo("It is too large for Lambda: leave out requirements, or use a container image.", err=True)
    if "boto3" in built.sizes:
        bytes_ = built.sizes["boto3"] + built.sizes.get("botocore", 0)
        typer.echo(
            f"boto3 and botocore are {size(bytes_)} of it. Lambda has its own: take boto3 out of the requirements "
            "unless this version is needed.",
            err=True,
        )
    if built.unchecked is not None:
        typer.echo(f"Whether the handler can be imported in Lambda is not known: {built.unchecked}.", err=True)
    if not built.is_compiled:
        typer.echo(
            f"Without bytecode, since there is no {project.runtime} on this machine: its cold starts take longer.",
            err=True,
        )


def _names(names: list[str]) -> str:
    more = len(names) - _MOST_SHOWN
    return ", ".join(names[:_MOST_SHOWN]) + (f" and {more} more" if more > 0 else "")
