"""What several commands are told alike."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mangum.local.printable import printable_lines

if TYPE_CHECKING:
    from mangum.cli.deployment.aws import AWS
    from mangum.cli.deployment.config import ProjectConfig

__all__ = [
    "AsJSON",
    "Check",
    "ConfigPath",
    "EndpointURL",
    "Pip",
    "Profile",
    "Region",
    "StoreDSN",
    "Yes",
    "asks_questions",
    "aws_of",
    "command",
    "project_of",
]

ConfigPath = Annotated[Path | None, typer.Option("--config", help="The configuration; by default mangum.yml here.")]
Profile = Annotated[str | None, typer.Option(help="A profile of AWS's configuration.", envvar="AWS_PROFILE")]
Region = Annotated[str | None, typer.Option(help="Another region than the configuration's.")]
EndpointURL = Annotated[str | None, typer.Option(help="Another endpoint than AWS's.", envvar="AWS_ENDPOINT_URL")]
AsJSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]
StoreDSN = Annotated[
    str | None,
    typer.Option(
        "--dsn",
        envvar="MANGUM_DSN",
        show_envvar=True,
        show_default="a temporary SQLite file",
        help="Where WebSocket connections are stored.",
        rich_help_panel="The function",
    ),
]
Pip = Annotated[bool, typer.Option(help="Install the requirements.")]
Check = Annotated[bool, typer.Option(help="Import the handler from what was built, where this machine can.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def asks_questions() -> bool:
    """Whether there is somebody to ask."""
    return sys.stdin.isatty()


@contextmanager
def command(name: str) -> Iterator[None]:
    """Have what cannot be end with a sentence and an exit status of 1."""
    from mangum.cli.deployment.errors import CommandError

    try:
        yield
    except CommandError as error:
        typer.echo(f"mangum {name}: {printable_lines(str(error))}", err=True)
        raise typer.Exit(1) from None


def project_of(path: Path | None) -> ProjectConfig:
    """The project that a command is for.

    Raises:
        CommandError: there is none here, or its configuration is wrong.
    """
    from mangum.cli.deployment.config import config_file, read_config

    return read_config(config_file(Path.cwd()) if path is None else path)


def aws_of(config: ProjectConfig, region: str | None, profile: str | None, endpoint_url: str | None) -> AWS:
    """Where its stack is."""
    from mangum.cli.deployment.aws import AWS

    return AWS(region=region or config.region_name, profile=profile, endpoint_url=endpoint_url)
