"""The peers, from the package registry, each in a folder of its own that nothing else uses."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

from benchmarks.errors import BenchmarkError

__all__ = [
    "FRAMEWORK",
    "HTTPTOOLS",
    "NOT_SERVED",
    "OTHER_HANDLERS",
    "PEERS",
    "PEER_VERSION",
    "SPEED",
    "STORES",
    "WEBSOCKET_PEER_VERSION",
    "WEB_ADAPTER",
    "Peer",
    "install",
]

PEER_VERSION = "0.22.0"
WEBSOCKET_PEER_VERSION = "0.12.4"  # the last but a few that had WebSockets


@dataclass(frozen=True)
class Peer:
    """What stands beside this project: who it is, and what pip installs for it."""

    description: str
    requirements: tuple[str, ...]


PEERS = {
    "0.22": Peer("mangum 0.22", (f"mangum=={PEER_VERSION}",)),
    # What 0.12 imports for its stores, which its metadata does not name. boto3 comes with aioboto3, which takes no
    # other version; aioredis 2 lacks the function that it calls.
    "0.12": Peer(
        "mangum 0.12, for WebSockets; boto3 comes with it",
        (
            f"mangum=={WEBSOCKET_PEER_VERSION}",
            *("aioboto3>=12", "aiopg>=1.4", "aioredis<2", "aiosqlite", "httpx", "psycopg2-binary"),
        ),
    ),
    "awslambdaric": Peer("AWS's own runtime for Python, which images are built with", ("awslambdaric>=3",)),
    "apig-wsgi": Peer("an adapter for WSGI applications", ("apig-wsgi>=2.19",)),
    "serverless-wsgi": Peer("another adapter for WSGI applications", ("serverless-wsgi>=3.0.5",)),
    "Powertools": Peer(
        "the event handler of Powertools for AWS Lambda, without a framework", ("aws-lambda-powertools>=3",)
    ),
    "web adapter": Peer(
        "uvicorn behind an HTTP hop, as web servers are brought to Lambda", ("uvicorn>=0.30", "httptools>=0.6.4")
    ),
}
# Those that answer a hello-world by other ways than a mangum, on AWS's own runtime.
OTHER_HANDLERS = ("apig-wsgi", "serverless-wsgi", "Powertools")
WEB_ADAPTER = "web adapter"
# What several sides have alike.
FRAMEWORK = ("fastapi>=0.115",)
HTTPTOOLS = ("httptools>=0.6.4",)
# mangum[redis,postgresql,aws], without mangum.
STORES = ("anyio>=4.7", "redis>=5.2", "asyncpg>=0.32", "aiobotocore>=2.21", *HTTPTOOLS)
SPEED = ("orjson>=3.10.7", "pybase64>=1.4", *HTTPTOOLS)

# The sources that 0.22 has no handler for.
NOT_SERVED = frozenset({"VPC Lattice v1", "VPC Lattice v2"})


def install(cache: Path, requirements: Sequence[str]) -> Path:
    """The folder that holds these packages and their dependencies. Made in `cache` if it is not there.

    Raises:
        BenchmarkError: pip could not install them.
    """
    what = f"{requirements[0].replace('==', '-').partition('>')[0]}-{sys.implementation.cache_tag or 'python'}"
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
            f"package registry, or leave the peers out with --peers none. It says:\n{result.stderr.strip()}"
        )
