"""The `mangum` command."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """The console script: what it needs comes with an extra."""
    try:
        from mangum.cli.app import cli
    except ModuleNotFoundError as error:
        sys.exit(f'The `mangum` command needs {error.name}: pip install "mangum[local]"')
    cli()
