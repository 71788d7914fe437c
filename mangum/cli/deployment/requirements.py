"""Requirements, installed for Lambda's platform on whatever machine this is."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from mangum.cli.deployment.errors import CommandError
from mangum.cli.deployment.platform import Platform

__all__ = ["install_requirements"]

_INSTALL_S = 900.0

# How pip and uv name what they do not find a wheel of.
_MISSING = (
    re.compile(r"No matching distribution found for (?P<name>\S+)"),
    re.compile(r"(?:Because|because) (?P<name>[\w.-]+)\S* has no (?:usable |compatible )?wheels"),
    re.compile(r"(?:Because|because) (?P<name>[\w.-]+) was not found in the package registry"),
    re.compile(r"(?:Because|because) there (?:is|are) no versions? of (?P<name>[\w.-]+)"),
)


def install_requirements(requirements: Path, target: Path, platform: Platform) -> str:
    """Install into a folder, with uv if that is there, else with pip. Returns which it was.

    Raises:
        CommandError: a requirement has no wheel for the platform, or the installer failed.
    """
    uv = shutil.which("uv")
    name, command = ("pip", _pip(platform)) if uv is None else ("uv", _uv(uv, platform))
    command += ["--target", str(target), "--requirement", str(requirements)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_S)
    except subprocess.TimeoutExpired:
        raise CommandError(f"{name} had not ended after {_INSTALL_S / 60:.0f} minutes.") from None
    if done.returncode:
        raise CommandError(_explain(name, done.stdout + done.stderr, requirements, platform))
    return name


def _pip(platform: Platform) -> list[str]:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    command += ["--only-binary", ":all:", "--implementation", "cp", "--python-version", platform.python_version]
    for tag in platform.tags:
        command += ["--platform", tag]
    return command


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
                "version that has one, or for another package; or build a wheel of it there, and name its file."
            )
    last = [line for line in output.splitlines() if line.strip()][-5:]
    return "\n  ".join([f"{name} could not install {requirements.name} for {where}:", *last])
