"""`mangum init`: the files that a project begins with."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

import mangum
from mangum.cli.deployment.config import FILE_NAMES, read_config
from mangum.cli.deployment.errors import CommandError
from mangum.cli.deployment.private_files import write_private

__all__ = ["NewProject", "suggested_bucket", "write_project"]

_CONFIG = """\
# What `mangum deploy` makes of this folder. All keys: docs/deployment.md of mangum.
# The name of the stack, and the bucket for the code, which `mangum create-bucket` makes.
name: {name}
bucket_name: {bucket}
region_name: {region}

# module.attribute in that folder.
code_dir: app
handler: asgi.handler

# x86_64 or arm64, whatever machine this is; MB, and seconds.
runtime: {runtime}
architecture: {architecture}
memory: 1024
timeout: 30

# http, rest, url (a Function URL) or none.
api: {api}
websockets: {websockets}

# Startup once in a sandbox; "invocation": in each invocation.
lifespan_scope: process

# Variables of the function.
environment: {{}}
"""

_APP = '''\
"""The application, and what Lambda calls."""

import os

from fastapi import FastAPI
from mangum import Mangum

app = FastAPI()


@app.get("/")
async def hello() -> dict[str, str]:
    return {"hello": "world"}


handler = Mangum(app, lifespan_scope=os.environ.get("MANGUM_LIFESPAN_SCOPE", "invocation"))
'''

_REQUIREMENTS = """\
fastapi
mangum{extra}>={version}
"""


@dataclass(frozen=True, kw_only=True)
class NewProject:
    """What `mangum init` was told."""

    name: str
    bucket: str
    region: str
    runtime: str
    architecture: str
    api: str
    websockets: bool


def suggested_bucket(name: str) -> str:
    """A name that nobody else has: those of buckets are the world's."""
    return f"{name.lower()}-code-{secrets.token_hex(4)}"


def write_project(folder: Path, project: NewProject, *, force: bool) -> list[Path]:
    """Write `mangum.yml`, and an application and its requirements where there are none. Returns what was written.

    Raises:
        CommandError: something of it cannot be, is there already, or cannot be written.
    """
    config = folder / FILE_NAMES[0]
    present = [folder / name for name in FILE_NAMES if (folder / name).exists()]
    if present and not force:
        raise CommandError(f"{present[0].name} is there already: --force writes it anew.")
    text = _CONFIG.format(
        name=project.name,
        bucket=project.bucket,
        region=project.region,
        runtime=project.runtime,
        architecture=project.architecture,
        api=project.api,
        websockets=str(project.websockets).lower(),
    )
    draft = folder / f".{config.name}.draft"
    try:
        write_private(draft, text)  # `environment` may get secrets
        read_config(draft)  # says what cannot be, before anything else is written
        os.replace(draft, config)
        written = [config]
        app = folder / "app" / "asgi.py"
        if not app.parent.exists():
            app.parent.mkdir()
            app.write_text(_APP, encoding="utf-8")
            written.append(app)
        requirements = folder / "requirements.txt"
        if not requirements.exists():
            extra = "[aws]" if project.websockets else ""
            requirements.write_text(_REQUIREMENTS.format(extra=extra, version=mangum.__version__), encoding="utf-8")
            written.append(requirements)
    except OSError as error:
        raise CommandError(f"{error.filename} cannot be written: {error.strerror}.") from None
    except CommandError as error:
        raise CommandError(str(error).replace(draft.name, config.name)) from None
    finally:
        if draft.is_file():
            draft.unlink()
    return written
