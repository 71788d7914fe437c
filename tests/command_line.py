"""The `mangum` command in this process."""

from __future__ import annotations

from inspect import signature
from typing import Any

from typer.testing import CliRunner, Result

from mangum.cli.app import cli

__all__ = ["run"]

# click before 8.2 has to be told to keep the streams apart.
_SEPARATE: Any = {"mix_stderr": False} if "mix_stderr" in signature(CliRunner.__init__).parameters else {}
_RUNNER = CliRunner(**_SEPARATE)


def run(*arguments: str, stdin: bytes | None = None) -> Result:
    """Run it with these arguments."""
    return _RUNNER.invoke(cli, arguments, input=stdin)
