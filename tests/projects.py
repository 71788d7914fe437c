"""Projects for `mangum build`, in a folder of the test."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from mangum.cli.deployment.config import ProjectConfig

__all__ = ["HANDLER", "OWN", "config", "folder", "names", "tree"]

OWN = f"python{sys.version_info.major}.{sys.version_info.minor}"
HANDLER = "def handler(event, context):\n    return {'statusCode': 200, 'body': 'fine'}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "asgi.py").write_text(HANDLER)
    return tmp_path


def config(folder: Path, **settings: Any) -> ProjectConfig:
    fixed: dict[str, Any] = {
        "folder": folder,
        "name": "hello",
        "bucket_name": "hello-code",
        "region_name": "eu-west-1",
        "runtime": OWN,
    }
    return ProjectConfig(**fixed | settings)


def names(folder: Path) -> set[str]:
    """Of the files of the application or of a build, without the mark of that."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".mangum-build")
    return {path.relative_to(folder).as_posix() for path in files}


def tree(folder: Path, files: dict[str, str]) -> None:
    """Write these files."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
