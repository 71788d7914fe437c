"""The process of a worker that runs AWS's own runtime for Python."""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

from mangum.local.own_code import fresh_imports

__all__ = ["main"]


def main() -> None:
    """Run it, as its command line does."""
    folder = os.environ["LAMBDA_TASK_ROOT"]
    sys.path.insert(0, folder)
    with fresh_imports(Path(folder)):
        runpy.run_module("awslambdaric", run_name="__main__", alter_sys=True)
