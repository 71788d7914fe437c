"""The peer: mangum 0.22 from the package registry, in a folder of its own."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.errors import BenchmarkError

__all__ = ["NOT_SERVED", "PEER_VERSION", "install_peer"]

PEER_VERSION = "0.22.0"

# The sources that it has no handler for.
NOT_SERVED = frozenset({"VPC Lattice v1", "VPC Lattice v2"})


def install_peer(cache: Path) -> Path:
    """The folder that holds the peer's package and its dependencies. Made in `cache` if it is not there.

    Raises:
        BenchmarkError: pip could not install it.
    """
    folder = cache / f"mangum-{PEER_VERSION}-{sys.implementation.cache_tag}"
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix="installing-") as temporary:
        target = Path(temporary) / folder.name
        _pip_install(f"mangum=={PEER_VERSION}", target)
        try:
            target.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another run was faster, and its folder is as good
                raise
    return folder


def _pip_install(requirement: str, target: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    result = subprocess.run([*command, "--target", str(target), requirement], capture_output=True, text=True)
    if result.returncode:
        raise BenchmarkError(
            f"pip could not install the peer {requirement} (exit status {result.returncode}). Give it access to a "
            f"package registry, or leave the peer out with --no-peers. It says:\n{result.stderr.strip()}"
        )
