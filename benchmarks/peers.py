"""The peers: mangum 0.22, and 0.12 for WebSockets, from the package registry, in folders of their own."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from zlib import crc32

from benchmarks.errors import BenchmarkError

__all__ = ["NOT_SERVED", "PEER_VERSION", "WEBSOCKET_PEER_VERSION", "install_peer", "install_websocket_peer"]

PEER_VERSION = "0.22.0"
WEBSOCKET_PEER_VERSION = "0.12.4"  # the last but a few that had WebSockets

# What that imports for them, which its metadata does not name. boto3 comes with aioboto3, which takes no other version;
# aioredis 2 lacks the function that it calls.
_WEBSOCKET_REQUIREMENTS = ("aioboto3>=12", "aiopg>=1.4", "aioredis<2", "aiosqlite", "httpx", "psycopg2-binary")

# The sources that it has no handler for.
NOT_SERVED = frozenset({"VPC Lattice v1", "VPC Lattice v2"})


def install_peer(cache: Path) -> Path:
    """The folder that holds the peer's package and its dependencies. Made in `cache` if it is not there.

    Raises:
        BenchmarkError: pip could not install it.
    """
    return _install(cache, f"mangum=={PEER_VERSION}")


def install_websocket_peer(cache: Path) -> Path:
    """The same for the peer of WebSockets, with boto3, which is a side of its own too."""
    return _install(cache, f"mangum=={WEBSOCKET_PEER_VERSION}", *_WEBSOCKET_REQUIREMENTS)


def _install(cache: Path, *requirements: str) -> Path:
    what = "-".join((requirements[0].replace("==", "-"), sys.implementation.cache_tag or "python"))
    folder = cache / (f"{what}-{crc32(' '.join(requirements).encode()):08x}" if len(requirements) > 1 else what)
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix="installing-") as temporary:
        target = Path(temporary) / folder.name
        _pip_install(requirements, target)
        try:
            target.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another run was faster, and its folder is as good
                raise
    return folder


def _pip_install(requirements: Sequence[str], target: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    result = subprocess.run([*command, "--target", str(target), *requirements], capture_output=True, text=True)
    if result.returncode:
        raise BenchmarkError(
            f"pip could not install the peer {requirements[0]} (exit status {result.returncode}). Give it access to a "
            f"package registry, or leave the peer out with --no-peers. It says:\n{result.stderr.strip()}"
        )
