"""The `mangum` command."""

from __future__ import annotations

import sys

__all__ = ["main"]

# What some commands need, by the extra that brings it; typer is in both.
_CLI = frozenset({"aiobotocore", "botocore", "rich", "typer", "yaml"})
_LOCAL = frozenset({"h11", "starlette", "uvicorn", "watchfiles", "websockets"})


def main() -> None:
    """The console script: what it needs comes with extras."""
    try:
        from mangum.cli.app import cli

        cli()
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        if name not in _CLI | _LOCAL:
            raise
        extra = "cli" if name in _CLI else "local"
        sys.exit(f'This command needs {name}: pip install "mangum[{extra}]"')
