"""`mangum package`: the template, and the code in the bucket."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mangum.cli.options import ConfigPath, EndpointURL, Profile, Region, aws_of, command, project_of
from mangum.cli.output import progress, size

if TYPE_CHECKING:
    from mangum.cli.deployment.aws import AWS
    from mangum.cli.deployment.config import ProjectConfig

__all__ = ["package", "run_package"]


def package(
    config: ConfigPath = None, profile: Profile = None, region: Region = None, endpoint_url: EndpointURL = None
) -> None:
    """Write template.yml, upload build/ under a hash of its contents, and write packaged.yml."""
    with command("package"):
        project = project_of(config)
        run_package(project, aws_of(project, region, profile, endpoint_url))


def run_package(project: ProjectConfig, aws: AWS) -> None:
    """The command, for a project.

    Raises:
        CommandError: there is no build, it is too large, or it cannot be uploaded.
    """
    from mangum.cli.deployment.archive import write_archive
    from mangum.cli.deployment.bucket import upload
    from mangum.cli.deployment.build import digest, files_of
    from mangum.cli.deployment.errors import CommandError
    from mangum.cli.deployment.platform import MOST_UNZIPPED_BYTES
    from mangum.cli.deployment.private_files import write_private
    from mangum.cli.deployment.template import template_text

    if not project.build_dir.is_dir():
        raise CommandError("There is no build/: `mangum build` makes it.")
    unzipped = sum(path.stat().st_size for path, _ in files_of(project.build_dir))
    if unzipped > MOST_UNZIPPED_BYTES:
        raise CommandError(f"build/ has {size(unzipped)}, and Lambda takes {size(MOST_UNZIPPED_BYTES)}.")
    write_private(project.template, template_text(project, "build/"))  # `environment` may hold secrets
    typer.echo(f"Wrote {project.template.name}")
    key = f"{project.name}/{digest(project.build_dir)}.zip"
    with tempfile.TemporaryDirectory(prefix="mangum-") as folder:
        archive = Path(folder) / "code.zip"
        zipped = write_archive(project.build_dir, archive)
        with progress(f"s3://{project.bucket_name}", zipped) as tell:
            is_new = asyncio.run(upload(aws, project.bucket_name, key, archive, tell))
    what = "Uploaded" if is_new else "There already:"
    typer.echo(f"{what} s3://{project.bucket_name}/{key} ({size(zipped)})")
    code = {"Bucket": project.bucket_name, "Key": key}
    write_private(project.packaged_template, template_text(project, code))
    typer.echo(f"Wrote {project.packaged_template.name}")
