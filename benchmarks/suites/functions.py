"""Functions as they are deployed: a folder with the application's code and all that it imports, and no bytecode, since
Lambda's folder cannot be written to."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from benchmarks.sides import ROOT

__all__ = ["write_function"]

_NO_BYTECODE = shutil.ignore_patterns("__pycache__", "*.pyc", "bin", "tests")


def write_function(folder: Path, code: str, packages: Iterable[Path]) -> Path:
    """Make the folder: `function.py`, the benchmark's application, and what the given packages or folders hold."""
    folder.mkdir(parents=True)
    (folder / "function.py").write_text(code)
    shutil.copy(ROOT / "benchmarks" / "work" / "app.py", folder / "hello_app.py")
    for package in packages:
        inside = [package] if (package / "__init__.py").exists() else sorted(package.iterdir())
        for path in inside:
            if path.is_dir() and path.name not in ("__pycache__", "bin"):
                shutil.copytree(path, folder / path.name, ignore=_NO_BYTECODE, dirs_exist_ok=True)
            elif path.suffix in (".py", ".so"):
                shutil.copy(path, folder / path.name)
    return folder
