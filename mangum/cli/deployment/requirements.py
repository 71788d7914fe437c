"""Requirements, installed for Lambda's platform on whatever machine this is."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from mangum.cli.deployment.application_code import check_links
from mangum.cli.deployment.config import ProjectConfig
from mangum.cli.deployment.errors import CommandError
from mangum.cli.deployment.platform import Platform

__all__ = ["check_requirements", "install_requirements"]

_INSTALL_S = 900.0

# How pip and uv name what they do not find a wheel of.
_MISSING = (
    re.compile(r"No matching distribution found for (?P<name>\S+)"),
    re.compile(r"(?:Because|because) (?P<name>[\w.-]+)\S* has no (?:usable |compatible )?wheels"),
    re.compile(r"(?:Because|because) (?P<name>[\w.-]+) was not found in the package registry"),
    re.compile(r"(?:Because|because) there (?:is|are) no versions? of (?P<name>[\w.-]+)"),
)

# Where other tools keep requirements, and what writes requirements.txt of them.
_OTHERS = {
    "uv.lock": "uv export --no-dev --no-editable --no-emit-project --no-hashes -o requirements.txt",
    "poetry.lock": "poetry export --without-hashes -o requirements.txt",
    "pdm.lock": "pdm export --prod --without-hashes -o requirements.txt",
    "Pipfile.lock": "pipenv requirements > requirements.txt",
    "Pipfile": "pipenv requirements > requirements.txt",
    "pylock.toml": "uv pip compile pyproject.toml -o requirements.txt",
    "requirements.in": "uv pip compile requirements.in -o requirements.txt",
}
_PROJECT = "pyproject.toml"
_OF_PROJECT = "uv pip compile pyproject.toml -o requirements.txt"


def check_requirements(config: ProjectConfig) -> bool:
    """Whether there is a requirements.txt.

    Raises:
        CommandError: there is none, and the project has its requirements elsewhere; or it is a link that a build
            cannot follow.
    """
    check_links(config.requirements, config)
    if config.requirements.is_file():
        return True
    for folder in (config.code, config.folder):
        for name, remedy in _OTHERS.items():
            if (folder / name).is_file():
                raise _has_others(name, remedy)
        if (folder / _PROJECT).is_file() and _has_dependencies(folder / _PROJECT):
            raise _has_others(_PROJECT, _OF_PROJECT)
    return False


def _has_others(name: str, remedy: str) -> CommandError:
    return CommandError(
        f"{name} has requirements, and there is no requirements.txt, which is what `mangum build` installs: `{remedy}` "
        "writes one. --no-pip builds without requirements."
    )


def _has_dependencies(path: Path) -> bool:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CommandError(f"{path.name} is invalid: {error}.") from None
    project = document.get("project", {})
    poetry = document.get("tool", {}).get("poetry", {}).get("dependencies", {})
    return bool(project.get("dependencies") or "dependencies" in project.get("dynamic", ()) or set(poetry) - {"python"})


def install_requirements(requirements: Path, target: Path, platform: Platform) -> str:
    """Install into a folder, with uv if that is there, else with pip. Returns which it was.

    Raises:
        CommandError: a requirement has no wheel for the platform or is editable, or the installer failed.
    """
    uv = shutil.which("uv")
    name, command = ("pip", _pip(platform)) if uv is None else ("uv", _uv(uv, platform))
    command += ["--target", str(target), "--requirement", str(requirements)]
    try:
        done = subprocess.run(command, env=_environment(), capture_output=True, text=True, timeout=_INSTALL_S)
    except subprocess.TimeoutExpired:
        raise CommandError(f"{name} had not ended after {_INSTALL_S / 60:.0f} minutes.") from None
    if done.returncode:
        raise CommandError(_explain(name, done.stdout + done.stderr, requirements, platform))
    _refuse_editable(target, requirements)
    return name


def _refuse_editable(target: Path, requirements: Path) -> None:
    """An editable requirement is a path of this machine, which Lambda does not have."""
    paths = [
        line
        for file in target.glob("*.pth")
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines()
        if Path(line).is_absolute()
    ]
    # https://packaging.python.org/en/latest/specifications/direct-url/
    names = [
        file.parent.name.partition("-")[0]
        for file in target.glob("*.dist-info/direct_url.json")
        if json.loads(file.read_bytes()).get("dir_info", {}).get("editable")
    ]
    if names or paths:
        raise CommandError(
            f"{', '.join(sorted(names) or sorted(paths))}: {requirements.name} asks for this with -e, which leaves the "
            "code on this machine. Name a wheel in its place: `pip wheel --no-deps PATH` makes one."
        )


def _pip(platform: Platform) -> list[str]:
    command = [sys.executable, "-P", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    command += ["--only-binary", ":all:", "--implementation", "cp", "--python-version", platform.python_version]
    for tag in platform.tags:
        command += ["--platform", tag]
    return command


def _environment() -> dict[str, str]:
    """Without what makes errors of the warnings of other projects' build tools."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONWARNINGS", "PYTHONDEVMODE")}


def _uv(uv: str, platform: Platform) -> list[str]:
    command = [uv, "pip", "install", "--quiet", "--no-config", "--only-binary", ":all:"]
    command += ["--python-version", platform.python_version]
    return [*command, "--python-platform", f"{platform.machine}-{platform.name_for_uv}"]


def _explain(name: str, output: str, requirements: Path, platform: Platform) -> str:
    where = f"{platform.newest}, Python {platform.python_version}"
    for pattern in _MISSING:
        found = pattern.search(output)
        if found is not None:
            return (
                f"{found['name']} of {requirements.name} has no wheel for Lambda's platform ({where}). Ask for a "
                f"version that has one, or for another package. Or build its wheel on that platform, for example in a "
                f"container, and name the wheel's file in {requirements.name}."
            )
    last = [line for line in output.splitlines() if line.strip()][-5:]
    return "\n  ".join([f"{name} could not install {requirements.name} for {where}:", *last])
