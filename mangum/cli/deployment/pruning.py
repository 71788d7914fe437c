"""What is left out of a function's folder: what Lambda brings along, and what no function needs."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

__all__ = ["prune"]

# Lambda's Python runtimes have these: https://docs.aws.amazon.com/lambda/latest/dg/python-package.html
_OF_THE_RUNTIME = frozenset({"boto3", "botocore", "jmespath", "s3transfer"})
_FOLDERS = ("__pycache__", "bin")
_TESTS = ("tests", "test")
# Licences and metadata stay: `importlib.metadata` reads the latter.
_RECORDS = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")
_REQUIREMENT = re.compile(r"^Requires-Dist: *([\w.-]+)(.*)$", re.MULTILINE)


def prune(folder: Path) -> None:
    """Take it out of a folder that requirements were installed into."""
    for info in folder.glob("*.dist-info"):
        for name in _RECORDS:
            (info / name).unlink(missing_ok=True)
    for name in _FOLDERS:
        shutil.rmtree(folder / name, ignore_errors=True)
    for package in [path for path in folder.iterdir() if path.is_dir() and not path.name.endswith(".dist-info")]:
        for name in _TESTS:
            for tests in [path for path in package.rglob(name) if (path / "__init__.py").is_file()]:
                shutil.rmtree(tests)
    if not _needs_its_own(folder):
        for path in [path for path in folder.iterdir() if _distribution(path) in _OF_THE_RUNTIME]:
            shutil.rmtree(path)


def _needs_its_own(folder: Path) -> bool:
    """Whether anything else needs a version of its own of what the runtime brings: aiobotocore does, of botocore."""
    for metadata in folder.glob("*.dist-info/METADATA"):
        if _distribution(metadata.parent) not in _OF_THE_RUNTIME:
            needed = _REQUIREMENT.findall(metadata.read_text(encoding="utf-8"))
            if any(name.lower() in _OF_THE_RUNTIME and "extra ==" not in rest for name, rest in needed):
                return True
    return False


def _distribution(path: Path) -> str:
    """Whose a package or its metadata is."""
    name = path.name.removesuffix(".dist-info")
    return (name.rpartition("-")[0] if name != path.name else name).lower()
