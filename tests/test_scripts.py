"""The scripts, which must do the same on every machine."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SCRIPTS = sorted(path for path in [*(ROOT / "scripts").iterdir(), ROOT / ".ci" / "run"] if path.name != "environment")
CLEARED = [
    "PYTHONUNBUFFERED",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONPATH",
    "PYTHON_GIL",
    "AWS_PROFILE",
    "AWS_CA_BUNDLE",
    "AWS_LAMBDA_RUNTIME_API",
    "LAMBDA_TASK_ROOT",
    "_LAMBDA_TELEMETRY_LOG_FD",
    "_HANDLER",
    "_X_AMZN_TRACE_ID",
    "MANGUM_DSN",
]
KEPT = ["PYTHON", "PIP_CERT", "PIP_INDEX_URL", "UV_INDEX_URL", "PYENV_ROOT", "SOME_OTHER"]


def test_a_script_clears_the_variables_that_change_what_runs() -> None:
    done = subprocess.run(
        ["bash", "-c", f"source '{ROOT}/scripts/environment'; env -0"],
        env=os.environ | dict.fromkeys([*CLEARED, *KEPT], "two\nPYTHONHOME=words"),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    names = {variable.partition("=")[0] for variable in done.stdout.split("\0")}
    assert names & {*CLEARED, *KEPT} == {*KEPT}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_every_script_clears_them_first(script: Path) -> None:
    command = next(line for line in script.read_text().splitlines() if not line.startswith("#"))
    assert command.startswith("source ")
    assert command.endswith('/environment"')
