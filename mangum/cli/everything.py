"""`mangum all`: from the code to a running stack."""

from __future__ import annotations

from mangum.cli.build import run_build
from mangum.cli.create_bucket import run_create_bucket
from mangum.cli.deploy import print_outputs, run_deploy
from mangum.cli.options import (
    Check,
    ConfigPath,
    EndpointURL,
    Pip,
    Profile,
    Region,
    Yes,
    aws_of,
    command,
    project_of,
)
from mangum.cli.package import run_package

__all__ = ["everything"]


def everything(
    config: ConfigPath = None,
    profile: Profile = None,
    region: Region = None,
    endpoint_url: EndpointURL = None,
    yes: Yes = False,
    pip: Pip = True,
    check: Check = True,
) -> None:
    """create-bucket, build, package and deploy, one after another."""
    with command("all"):
        project = project_of(config)
        aws = aws_of(project, region, profile, endpoint_url)
        run_build(project, installs=pip, checks=check)
        run_create_bucket(project, aws)
        run_package(project, aws)
        print_outputs(run_deploy(project, aws, yes=yes), as_json=False)
