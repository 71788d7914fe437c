"""Whether the handler of a built folder can be imported, from that folder alone."""

from __future__ import annotations

import json
import os
import platform as machine
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from mangum.cli.deployment.config import ProjectConfig
from mangum.cli.deployment.errors import CommandError
from mangum.cli.deployment.platform import Platform
from mangum.local.function import FunctionSettings

__all__ = ["check_import", "runs_here"]

_IMPORT_S = 60.0
# Lambda's Python runtimes bring these: https://docs.aws.amazon.com/lambda/latest/dg/python-package.html
_OF_THE_RUNTIME = frozenset(
    {"awslambdaric", "boto3", "botocore", "dateutil", "jmespath", "s3transfer", "six", "snapshot_restore_py", "urllib3"}
)
# Run without site-packages. The process ends at once: threads and exit functions of the code are none of the check's.
_CODE = """\
import importlib, json, os, sys, traceback
folder, module, attribute, report = sys.argv[1:]
sys.path.insert(0, folder)
outcome = {}
try:
    if not hasattr(importlib.import_module(module), attribute):
        raise ImportError(f"module {module!r} has no {attribute}")
except BaseException as error:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(folder)]
    outcome = {
        "text": "".join(traceback.format_exception_only(error)).strip(),
        "is_import_error": isinstance(error, ImportError),
        "module": (getattr(error, "name", None) or "").partition(".")[0],
        "place": f" ({os.path.relpath(frames[-1].filename, folder)}:{frames[-1].lineno})" if frames else "",
    }
with open(report, "w") as file:
    json.dump(outcome, file)
os._exit(0)
"""


def runs_here(platform: Platform) -> bool:
    """Whether code for the platform can run on this machine."""
    if sys.platform != "linux" or machine.machine() != platform.machine:
        return False
    library, version = machine.libc_ver()
    found = re.match(r"2\.(\d+)", version)
    return library == "glibc" and found is not None and int(found[1]) >= platform.glibc_minor


def check_import(config: ProjectConfig, folder: Path, python: str) -> str | None:
    """Import the handler in a process of its own, with the standard library and the folder, with Lambda's variables and
    without credentials. Files that the code writes there meanwhile are removed.

    Returns:
        Why the check could not come to its end, for example because the code needs a server while it is imported.
        `None` if the handler was imported.

    Raises:
        CommandError: a module or the handler is missing.
    """
    module, _, attribute = config.handler.rpartition(".")
    before = set(folder.rglob("*"))
    with tempfile.TemporaryDirectory(prefix="mangum-") as home:
        report = Path(home) / "report.json"
        command = [python, "-I", "-S", "-B", "-c", _CODE, str(folder), module, attribute, str(report)]
        environment = _environment(config, home)
        try:
            done = subprocess.run(
                command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=_IMPORT_S
            )
        except subprocess.TimeoutExpired:
            return f"the import had not ended after {_IMPORT_S:.0f} s"
        finally:
            _remove(set(folder.rglob("*")) - before)
        outcome: dict[str, Any] = json.loads(report.read_bytes() or b"{}") if report.is_file() else {}
        if not report.is_file():
            return f"the import ended the process with status {done.returncode}"
    if not outcome:
        return None
    text = f"{outcome['text']}{outcome['place']}"
    if not outcome["is_import_error"]:
        return text
    if outcome["module"] in _OF_THE_RUNTIME:
        return f"{outcome['module']} is not in the build, and Lambda brings its own"
    raise CommandError(
        f"The handler {config.handler} cannot be imported from the built folder alone: {text}. Put what is missing "
        "into the requirements. If a layer brings it, pass --no-check."
    )


def _environment(config: ProjectConfig, home: str) -> dict[str, str]:
    """Lambda's variables and the function's own, as far as they are known here."""
    own = {name: value for name, value in config.environment.items() if "{{resolve:" not in value}
    if config.websockets:
        own = {"MANGUM_DSN": config.dsn or "dynamodb://connections", **own}
    function = FunctionSettings(
        target=":".join(config.handler.rsplit(".", 1)),
        folder=Path("/var/task"),
        name=config.name,
        memory_mb=config.memory,
        timeout_s=config.timeout,
        region=config.region_name,
        environment={"MANGUM_LIFESPAN_SCOPE": config.lifespan_scope, **own},
    )
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "HOME": home,  # where no credentials are
        "AWS_EC2_METADATA_DISABLED": "true",
        **function.variables(),
    }


def _remove(paths: set[Path]) -> None:
    for path in sorted(paths, reverse=True):  # what is in a folder comes before it
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink()
