"""The application's own code, copied into the build."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

from mangum.cli.deployment.config import ProjectConfig
from mangum.cli.deployment.errors import CommandError

__all__ = ["check_links", "copy_code"]

_CACHE = "__pycache__"  # the build gets bytecode of its own
# Tools make these, and no application reads them. All other hidden files are copied.
_OF_TOOLS = (
    *(".git*", ".hg*", ".svn", ".idea", ".vscode", ".DS_Store", ".ipynb_checkpoints"),
    *(".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis", ".tox", ".nox", ".coverage*"),
    *(".serverless", ".aws-sam", ".terraform"),
)
# Lambda's environment has its own values: `environment` in mangum.yml.
_SECRETS = (".env", ".env.*", ".envrc", ".aws", ".ssh", ".netrc", ".pypirc", ".npmrc")
_OF_ENVIRONMENTS = ("pyvenv.cfg", "conda-meta")  # what a virtual environment has


def copy_code(config: ProjectConfig, target: Path) -> list[str]:
    """Copy the code. Returns the names that were left out: files of tools, virtual environments, files with secrets.

    Raises:
        CommandError: a link leads out of the project or nowhere, or something cannot be read.
    """
    check_links(config.code, config)
    selection = _Selection(config)
    try:
        shutil.copytree(config.code, target, ignore=selection, dirs_exist_ok=True)
    except shutil.Error as error:
        _, _, reason = error.args[0][0]
        raise CommandError(f"The code cannot be copied: {reason}.") from None
    return selection.left_out


def check_links(path: Path, config: ProjectConfig) -> None:
    """Refuse a symbolic link that a build cannot follow, on the way from the project's folder to `path`. A target
    outside of the project may be anything of this machine's, and would be uploaded.

    Raises:
        CommandError: one leads out of the project's folder, to what a build leaves out, back into itself, or nowhere.
    """
    place = config.folder
    for part in path.relative_to(config.folder).parts:
        place /= part
        _check_link(place, config)


def _check_link(path: Path, config: ProjectConfig) -> None:
    if not path.is_symlink():
        return
    name = path.relative_to(config.folder)
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError):  # RuntimeError: a loop, before Python 3.13
        raise CommandError(f"The link {name} leads to {os.readlink(path)}, which is not there: remove it.") from None
    if not target.is_relative_to(config.folder.resolve()):
        raise CommandError(f"The link {name} leads out of the project, to {target}: put a copy in its place.")
    if any(parent.resolve().is_relative_to(target) for parent in path.parents):
        raise CommandError(f"The link {name} leads to {target}, a folder that contains the link: remove it.")
    unwanted = next((part for part in _parts_on_the_way(path, config) if _is_unwanted_name(part)), None)
    if unwanted is not None:
        raise CommandError(
            f"The link {name} leads to {os.readlink(path)}, and {unwanted} is left out of builds, since it may hold "
            "secrets or is a tool's own: remove the link, or put a copy in its place."
        )


def _parts_on_the_way(path: Path, config: ProjectConfig) -> Iterator[str]:
    """The names of files and folders in the project that a link leads to, by way of other links too."""
    places = [path.resolve()]
    while path.is_symlink():
        path = path.parent / os.readlink(path)
        places.append(Path(os.path.abspath(path)))
    for place in places:
        for folder in (config.folder.resolve(), Path(os.path.abspath(config.folder))):
            if place.is_relative_to(folder):
                yield from place.relative_to(folder).parts


class _Selection:
    """What `shutil.copytree` is to leave out. It asks about each folder, also about those that links lead to."""

    def __init__(self, config: ProjectConfig) -> None:
        self.left_out: list[str] = []
        self._config = config

    def __call__(self, folder: str, names: list[str]) -> set[str]:
        unwanted = {name for name in names if name != _CACHE and _is_unwanted(Path(folder, name))}
        self.left_out += sorted(Path(folder, name).relative_to(self._config.code).as_posix() for name in unwanted)
        for name in names:
            if name not in unwanted:
                _check_link(Path(folder, name), self._config)
        return unwanted | {_CACHE}


def _is_unwanted(path: Path) -> bool:
    return _is_unwanted_name(path.name) or any((path / name).exists() for name in _OF_ENVIRONMENTS)


def _is_unwanted_name(name: str) -> bool:
    return any(fnmatch(name, pattern) for pattern in (*_OF_TOOLS, *_SECRETS))
