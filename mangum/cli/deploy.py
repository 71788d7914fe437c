"""`mangum deploy`: the stack, as the packaged template says."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import typer

from mangum.cli.options import (
    AsJSON,
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
from mangum.cli.output import is_for_people, print_json
from mangum.local.printable import printable

if TYPE_CHECKING:
    from mangum.cli.deployment.aws import AWS
    from mangum.cli.deployment.config import ProjectConfig
    from mangum.cli.deployment.stack import ChangeSet, Event

__all__ = ["deploy", "print_outputs", "run_deploy", "tell_event"]

_MARKS = {"Add": "+", "Modify": "~", "Remove": "-"}


def deploy(
    config: ConfigPath = None,
    profile: Profile = None,
    region: Region = None,
    endpoint_url: EndpointURL = None,
    yes: Yes = False,
    as_json: AsJSON = False,
) -> None:
    """Show what would change, ask, make the changes, and show the outputs of the stack."""
    with command("deploy"):
        project = project_of(config)
        outputs = run_deploy(project, aws_of(project, region, profile, endpoint_url), yes=yes)
        print_outputs(outputs, as_json=as_json)


def run_deploy(project: ProjectConfig, aws: AWS, *, yes: bool) -> dict[str, str]:
    """The command, for a project. Returns the outputs of its stack.

    Raises:
        CommandError: it cannot be deployed, or failed.
    """
    from mangum.cli.deployment.errors import CommandError

    if not project.packaged_template.is_file():
        raise CommandError("There is no packaged.yml: `mangum package` writes it.")
    if not yes and not asks_questions():
        raise CommandError(
            "The changes need a confirmation, and standard input is not a terminal. Pass --yes to skip it."
        )
    return asyncio.run(_deploy(project, aws, yes=yes))


async def _deploy(project: ProjectConfig, aws: AWS, *, yes: bool) -> dict[str, str]:
    from mangum.cli.deployment.errors import CommandError
    from mangum.cli.deployment.stack import Stack

    body = project.packaged_template.read_text(encoding="utf-8")
    async with Stack.of(aws, project.name) as stack:
        changes = await stack.prepare({"TemplateBody": body})
        if changes is None:
            typer.echo("Nothing has changed.", err=True)
            return await stack.outputs()
        _show(changes)
        if not yes and not typer.confirm("Make these changes?"):
            await stack.discard(changes)
            raise CommandError("Nothing was changed.")
        await stack.execute(changes, tell_event)
        return await stack.outputs()


def _show(changes: ChangeSet) -> None:
    for change in changes.changes:
        mark = _MARKS.get(change.action, "?")
        replaced = "  (replaced)" if change.replaced else ""
        typer.echo(f"{mark} {change.name}  {change.kind}{replaced}", err=True)


def tell_event(event: Event) -> None:
    """A line of what happens to a stack, beside the output proper."""
    reason = f"  {event.reason}" if event.reason else ""
    line = f"{event.status:<24} {event.name}  {event.kind}{reason}"
    typer.secho(printable(line), err=True, fg="red" if event.has_failed and is_for_people() else None)


def print_outputs(outputs: dict[str, str], *, as_json: bool) -> None:
    """Of a stack, a line each."""
    if as_json:
        print_json(outputs)
    else:
        for name, value in outputs.items():
            typer.echo(f"{name}: {value}")
