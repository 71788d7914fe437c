"""What is left out of a function's folder: what no function needs."""

from __future__ import annotations

import csv
import io
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from mangum.cli.deployment.references import unreferenced

__all__ = ["prune", "remove_records", "test_packages"]

_TESTS = ("test", "tests")
_SCRIPTS = "bin"
_RECORD = "RECORD"
_OF_INSTALLERS = ("INSTALLER", "REQUESTED", "direct_url.json")  # which differ between machines


def test_packages(folder: Path) -> list[Path]:
    """The packages named `test` or `tests` inside of other packages; of nested ones the outermost."""
    found = []
    for top in [path for path in folder.iterdir() if path.is_dir()]:
        for parent, names, _ in os.walk(top):
            tests = [name for name in names if name in _TESTS and (Path(parent, name) / "__init__.py").is_file()]
            names[:] = [name for name in names if name not in tests]
            found += [Path(parent, name) for name in tests]
    return found


def prune(folder: Path, packages: Iterable[Path]) -> list[str]:
    """Remove those of these test packages that nothing in the folder refers to. Returns their names."""
    removed = unreferenced(folder, packages)
    for package in removed:
        shutil.rmtree(package)
    _shorten_records(folder)
    return [".".join(package.relative_to(folder).parts) for package in removed]


def remove_records(folder: Path) -> None:
    """Remove what an installer writes about itself and about this machine: the scripts of packages begin with the path
    of this machine's Python, and cannot run in Lambda. Programs in the same folder stay."""
    for info in folder.glob("*.dist-info"):
        for name in _OF_INSTALLERS:
            (info / name).unlink(missing_ok=True)
    shutil.rmtree(folder / "__pycache__", ignore_errors=True)
    scripts = folder / _SCRIPTS
    if scripts.is_dir():
        for path in [path for path in scripts.iterdir() if path.is_file() and _is_python_script(path)]:
            path.unlink()
        if not any(scripts.iterdir()):
            scripts.rmdir()


def _is_python_script(path: Path) -> bool:
    """Whether its interpreter is Python: in the first line, or where its path is too long for that in the second."""
    with path.open("rb") as file:
        begin = file.read(2048)
    return begin.startswith(b"#!") and b"python" in b"\n".join(begin.split(b"\n", 2)[:2])


def _shorten_records(folder: Path) -> None:
    """Keep the lines of files that are there: `importlib.metadata` finds the modules of a distribution by them."""
    for record in folder.glob(f"*.dist-info/{_RECORD}"):
        with record.open(newline="", encoding="utf-8") as file:
            kept = [row for row in csv.reader(file) if row and (folder / row[0]).is_file()]
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(kept)
        record.write_text(text.getvalue(), encoding="utf-8")
