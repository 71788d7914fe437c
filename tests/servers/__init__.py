"""Stores for the tests to talk to: real servers, on free ports of 127.0.0.1, one file each.

A store NAME is added in three steps. `tests/servers/NAME.py` has a class that is a `Server`, without pytest, since the
benchmarks start it too. `tests/servers/fixtures.py` has two fixtures, `NAME_server` (scope "session": started once for
each worker, and stopped) and `NAME_dsn` (its `dsn()`), and `conftest.py` imports both. `STORES` of
`tests/test_backends.py`, and `SERVERS` of `tests/test_backend_faults.py`, have the name. In the names of fixtures and
modules a - is a _.
"""

from __future__ import annotations

import os
import socket
from typing import Protocol

__all__ = ["HOST", "Server", "free_port", "unmeasured_environment"]

HOST = "127.0.0.1"


class Server(Protocol):
    """A store's server, which tests of faults stop and start. They leave it running."""

    @property
    def port(self) -> int:
        """Where it listens, the same after a restart."""

    @property
    def password(self) -> str | None:
        """What the DSN has as its secret; `None` for a server that asks for none."""

    @property
    def is_durable(self) -> bool:
        """Whether it still has after `stop` and `start` what it had before."""

    def dsn(self, port: int | None = None, password: str | None = None) -> str:
        """What names it; with `port`, through a proxy there; with `password`, with that one."""

    def start(self) -> None:
        """Start it, and return when it answers."""

    def stop(self) -> None:
        """Kill it: at once, with all its connections."""


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        port: int = listener.getsockname()[1]
        return port


def unmeasured_environment() -> dict[str, str]:
    """The environment, for a process whose coverage is not measured."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COV")}
