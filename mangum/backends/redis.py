"""Redis and Valkey, one server or a cluster, by redis-py. The server is Redis 6.2 or later, or any Valkey.

For a connection and for a group there are these keys. ID is the connection's id with % and } quoted, so that all keys
of a connection are in one slot of a cluster:

    PREFIX{ID}:record     string: expiry, newline, value
    PREFIX{ID}:pending    string: messages, each after its length and a colon
    PREFIX{ID}:claim      string: until when the messages are claimed in Unix seconds, a space, by whom
    PREFIX{ID}:groups     sorted set: names of groups, with the expiry of the membership as score
    PREFIXgroup:NAME      sorted set: members as id NUL expiry NUL value, all with score 0, which sorts them by id

A key expires with what it holds, a sorted set with the last of it; members that expire before are removed by others who
join. What has to change at once is one key, and changes by one command. Where there are two, the connection's `groups`
is written first and cleared last: whatever fails in between, `delete` still finds all.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeAlias, TypeVar

from redis.asyncio import Connection as TCPConnection
from redis.asyncio import ConnectionPool, RedisCluster, SSLConnection, UnixDomainSocketConnection
from redis.asyncio import Redis as RedisServer
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    ClusterError,
    MovedError,
    ReadOnlyError,
    RedisClusterException,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from mangum.backends.base import Backend, Entry, Page, Pending
from mangum.backends.dsn import DSN
from mangum.exceptions import ConfigurationError

__all__ = ["Client", "Command", "Redis"]

T = TypeVar("T")
Command: TypeAlias = tuple[bytes | str | int, ...]
Client: TypeAlias = RedisServer | RedisCluster

_PORT = 6379
_MOST_CONNECTIONS = 10
_CONNECT_S = 2.0  # so that a cluster's second node has its turn before `Store` gives up

_COMMON = ("prefix", "client_name", "max_connections", "socket_connect_timeout", "socket_timeout")
_DB, _SOCKET = "db", "unix_socket_path"
_TLS_STRINGS = ("ssl_ca_certs", "ssl_ca_data", "ssl_certfile", "ssl_keyfile")
_CERT_REQS, _CHECK_HOSTNAME = "ssl_cert_reqs", "ssl_check_hostname"
_TRUE, _FALSE = ("true", "yes", "1"), ("false", "no", "0")

# A sorted set lives as long as what has just been added to it, ARGV[1], and no shorter than before. From Redis 7.0 on,
# EXPIREAT has GT for this. An expiry in the past removes a set that has nothing else.
_BEGIN = "local now, lifetime = tonumber(redis.call('TIME')[1]), redis.call('TTL', KEYS[1])"
_PROLONG = "if lifetime < 0 or now + lifetime < tonumber(ARGV[1]) then redis.call('EXPIREAT', KEYS[1], ARGV[1]) end"

# KEYS: the groups of a connection. ARGV: expiry, name of the group.
_ADD_GROUP = f"""
{_BEGIN}
redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])
{_PROLONG}
"""

# KEYS: a group. ARGV: expiry, member, and the limits of what the connection may have there already. Ids are random:
# with a look at the ten that follow, those who join keep the expired down to about a tenth of all.
_ADD_MEMBER = f"""
{_BEGIN}
redis.call('ZADD', KEYS[1], 0, ARGV[2])
redis.call('ZREMRANGEBYLEX', KEYS[1], ARGV[3], '(' .. ARGV[2])
redis.call('ZREMRANGEBYLEX', KEYS[1], '(' .. ARGV[2], ARGV[4])
for _, member in ipairs(redis.call('ZRANGEBYLEX', KEYS[1], '(' .. ARGV[2], '+', 'LIMIT', 0, 10)) do
  if tonumber(string.match(member, '%z(%d+)')) <= now then redis.call('ZREM', KEYS[1], member) end
end
{_PROLONG}
"""

# KEYS: messages, claim. ARGV: owner, now, until.
_CLAIM = """
local messages, claim = redis.call('GET', KEYS[1]), redis.call('GET', KEYS[2])
if not messages then return false end
if claim then
  local ends, owner = string.match(claim, '^(%S+) (%w+)$')
  if owner ~= ARGV[1] and tonumber(ends) > tonumber(ARGV[2]) then return {owner, messages} end
end
redis.call('SET', KEYS[2], ARGV[3] .. ' ' .. ARGV[1], 'EX', math.max(redis.call('TTL', KEYS[1]), 1))
return {ARGV[1], messages}
"""

# KEYS: messages, claim. ARGV: owner, messages.
_RELEASE = """
local claim = redis.call('GET', KEYS[2])
if not claim or string.match(claim, ' (%w+)$') ~= ARGV[1] then return end
redis.call('DEL', KEYS[2])
if ARGV[2] == '' then redis.call('DEL', KEYS[1]) else redis.call('SET', KEYS[1], ARGV[2], 'XX', 'KEEPTTL') end
"""


class Redis(Backend):
    """`redis://[user:password@]host[:port][/db]`, `redis:///path/to.sock`, `redis://?unix_socket_path=/path/to.sock` or
    `redis+cluster://host[:port][,host[:port]...]`; `rediss` is TLS; `valkey` and `valkeys` are the same."""

    unavailable: ClassVar[tuple[type[BaseException], ...]] = (
        RedisConnectionError,
        RedisTimeoutError,
        OSError,
        # What a failover looks like from here. A fresh connection may lead to the server that has taken over.
        ReadOnlyError,
        TryAgainError,
        ClusterError,
        RedisClusterException,
    )

    def __init__(self, dsn: DSN) -> None:
        self._target = _Target(dsn)
        self._prefix = self._target.prefix
        self._connections = _Connections()
        self._turns = asyncio.Semaphore(self._target.most_connections)
        self._client: Client | None = None

    async def open(self) -> None:
        self._connections = _Connections()
        # A call without a free connection waits here: redis-py refuses it, or opens one more.
        self._turns = asyncio.Semaphore(self._target.most_connections)
        self._client = self._target.client(self._connections)
        if self._target.is_cluster:
            await self._client.initialize()  # asks any node which of them has which slots
        else:
            await self.load("-")  # whatever the answer: the first question connects and logs in

    async def close(self) -> None:
        await self._connections.drop()
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def abort(self) -> None:
        await self.close()  # which tells the other end nothing: Redis needs no goodbye

    # What belongs to a connection

    async def save(self, record: Entry) -> None:
        value = b"%d\n%b" % (record.expires_at, record.value)
        await self._run("SET", self._key(record.connection_id, "record"), value, "EXAT", record.expires_at)

    async def update(self, record: Entry) -> None:
        value = b"%d\n%b" % (record.expires_at, record.value)
        await self._run("SET", self._key(record.connection_id, "record"), value, "XX", "EXAT", record.expires_at)

    async def load(self, connection_id: str) -> Entry | None:
        found = await self._run("GET", self._key(connection_id, "record"))
        if found is None:
            return None
        expires_at, _, value = found.partition(b"\n")
        return Entry(connection_id, value, int(expires_at))

    async def delete(self, connection_id: str) -> None:
        _, names = await self._in_order(
            ("DEL", *(self._key(connection_id, kind) for kind in ("record", "pending", "claim"))),
            ("ZRANGE", self._key(connection_id, "groups"), 0, -1),
        )
        await self._leave(connection_id, names)

    async def hold(self, connection_id: str, messages: Sequence[bytes], expires_at: int) -> None:
        pending, claim = self._key(connection_id, "pending"), self._key(connection_id, "claim")
        await self._in_order(
            ("DEL", pending, claim), *([("SET", pending, _joined(messages), "EXAT", expires_at)] if messages else [])
        )

    async def claim(self, connection_id: str, owner: str, now: float, until: float) -> Pending | None:
        keys = (self._key(connection_id, "pending"), self._key(connection_id, "claim"))
        found = await self._run("EVAL", _CLAIM, 2, *keys, owner, f"{now:.3f}", f"{until:.3f}")
        return None if found is None else Pending(found[0].decode(), _split(found[1]))

    async def release(self, connection_id: str, owner: str, messages: Sequence[bytes]) -> None:
        keys = (self._key(connection_id, "pending"), self._key(connection_id, "claim"))
        await self._run("EVAL", _RELEASE, 2, *keys, owner, _joined(messages))

    # Groups

    async def join(self, group: str, member: Entry) -> None:
        expires_at, name = member.expires_at, group.encode()
        entry = b"%b\0%d\0%b" % (member.connection_id.encode(), expires_at, member.value)
        await self._in_order(
            ("EVAL", _ADD_GROUP, 1, self._key(member.connection_id, "groups"), expires_at, name),
            ("EVAL", _ADD_MEMBER, 1, self._group(name), expires_at, entry, *_limits(member.connection_id)),
        )

    async def leave(self, group: str, connection_id: str) -> None:
        await self._leave(connection_id, [group.encode()])

    async def leave_all(self, connection_id: str) -> None:
        await self._leave(connection_id, await self._run("ZRANGE", self._key(connection_id, "groups"), 0, -1))

    async def _leave(self, connection_id: str, names: Sequence[bytes]) -> None:
        if names:
            await self._in_order(
                *(("ZREMRANGEBYLEX", self._group(name), *_limits(connection_id)) for name in names),
                # These, and not whatever is there: another may be joined at this moment.
                ("ZREM", self._key(connection_id, "groups"), *names),
            )

    async def groups(self, connection_id: str) -> list[str]:
        key = self._key(connection_id, "groups")
        names = await self._run("ZRANGEBYSCORE", key, f"({int(time.time())}", "+inf")
        return [name.decode() for name in names]

    async def members(self, group: str, after: str | None, limit: int) -> Page:
        first = b"-" if after is None else b"[%b\1" % after.encode()
        found = await self._run("ZRANGEBYLEX", self._group(group.encode()), first, "+", "LIMIT", 0, limit)
        members = [_member(entry) for entry in found]
        return Page(members, members[-1].connection_id if len(members) == limit else None)

    # Keys and commands

    def _key(self, connection_id: str, kind: str) -> bytes:
        tag = connection_id.replace("%", "%25").replace("}", "%7D")
        return f"{self._prefix}{{{tag}}}:{kind}".encode()

    def _group(self, name: bytes) -> bytes:
        return b"%bgroup:%b" % (self._prefix.encode(), name)

    async def _run(self, *command: bytes | str | int) -> Any:
        """One command."""
        try:
            async with self._turns:
                return await self._opened.execute_command(*command)
        except ResponseError as error:
            self._target.explain(error)
            raise

    async def _in_order(self, *commands: Command) -> list[Any]:
        """Commands, each done when the next begins: in one round trip, if they are all for one server."""
        if self._target.is_cluster:  # a pipeline there has no order, and with redis-py 5 bears no lost connection
            return [await self._run(*command) for command in commands]
        async with self._turns:
            pipeline = self._opened.pipeline(transaction=False)
            for command in commands:
                pipeline.execute_command(*command)
            # An error raised there would quote the command, and with it what a record holds.
            answers: list[Any] = await pipeline.execute(raise_on_error=False)
        for answer in answers:
            if isinstance(answer, Exception):
                self._target.explain(answer)
                raise answer
        return answers

    @property
    def _opened(self) -> Any:
        """The client, whose methods have no types."""
        if self._client is None:
            raise RedisConnectionError("The connections were dropped while the call was under way.")
        return self._client


# What is stored


def _joined(messages: Sequence[bytes]) -> bytes:
    return b"".join(b"%d:%b" % (len(message), message) for message in messages)


def _split(text: bytes) -> list[bytes]:
    messages = []
    start = 0
    while start < len(text):
        colon = text.index(b":", start)
        end = colon + 1 + int(text[start:colon])
        messages.append(text[colon + 1 : end])
        start = end
    return messages


def _limits(connection_id: str) -> tuple[bytes, bytes]:
    """Between which texts a group has what it has of a connection, as commands by lexical order take them."""
    return b"[%b\0" % connection_id.encode(), b"(%b\1" % connection_id.encode()


def _member(entry: bytes) -> Entry:
    connection_id, expires_at, value = entry.split(b"\0", 2)
    return Entry(connection_id.decode(), value, int(expires_at))


# Where it is stored


class _Target:
    """What a DSN names: a server, or a cluster, and how to connect to it."""

    def __init__(self, dsn: DSN) -> None:
        self.is_cluster = dsn.scheme.endswith("+cluster")
        self._dsn = dsn
        self._is_tls = dsn.scheme.startswith(("rediss", "valkeys"))
        self._query = dsn.parameters(
            *_COMMON,
            *(() if self.is_cluster else (_DB,)),
            *((*_TLS_STRINGS, _CERT_REQS, _CHECK_HOSTNAME) if self._is_tls else ()),
            *(() if self.is_cluster or self._is_tls else (_SOCKET,)),
        )
        self.prefix = self._read_prefix()
        self._socket = self._read_socket()
        self._nodes = [] if self._socket else self._read_nodes()
        self._db = self._read_db()
        self.most_connections = self._number("max_connections", int) or _MOST_CONNECTIONS
        self._options: dict[str, Any] = {
            "username": dsn.user,
            "password": dsn.password,
            "client_name": self._query.get("client_name"),
            "socket_connect_timeout": self._number("socket_connect_timeout", float) or _CONNECT_S,
            "socket_timeout": self._number("socket_timeout", float),
            "protocol": 2,  # 3 costs a round trip when a connection opens, and has nothing that is needed here
            "retry": Retry(NoBackoff(), 0),  # that is the business of `Store`
        }
        self._transport = self._read_transport()

    def client(self, connections: _Connections) -> Client:
        """A client, which has not connected yet. Its connections will be among these."""
        if self.is_cluster:
            return self._cluster(connections)
        options = {**self._options, "connections": connections, "db": self._db}
        if self._socket:
            options |= {"connection_class": _UnixConnection, "path": self._socket}
        else:
            host, port = self._nodes[0]
            options |= {**self._transport, "host": host, "port": port}
        return RedisServer.from_pool(ConnectionPool(**options))

    def _cluster(self, connections: _Connections) -> RedisCluster:
        cluster = RedisCluster(startup_nodes=[ClusterNode(*node) for node in self._nodes], **self._options)
        # It takes no class for its connections, but this is what it makes its nodes with.
        options = cluster.connection_kwargs
        options.update(self._transport, connections=connections)
        nodes = [ClusterNode(*node, **options) for node in self._nodes]
        cluster.nodes_manager.startup_nodes = {node.name: node for node in nodes}
        return cluster

    def explain(self, error: Exception) -> None:
        """Raise what the user can do about a server's error, if it is that the key is on another server."""
        if isinstance(error, MovedError) or str(error).startswith("MOVED "):  # redis-py 5 gives it no class
            raise self._error(f"names one node of a cluster: write {self._dsn.scheme}+cluster://") from error

    # The parts of the DSN

    def _read_prefix(self) -> str:
        prefix = self._query.get("prefix", "mangum:")
        if "{" in prefix or "}" in prefix:
            raise self._error("has a prefix with { or }, which mark in a key what its slot in a cluster depends on")
        return prefix

    def _read_socket(self) -> str | None:
        """The path of a Unix socket, in the query, or where a host is followed by its database."""
        path = self._dsn.path
        path_alone = f"/{path}" if path and not path.isdecimal() and not self._dsn.location else None
        path_of_socket = self._query.get(_SOCKET, path_alone)
        if path_of_socket is None:
            return None
        if self.is_cluster or self._is_tls:
            raise self._error("names a Unix socket, which only redis:// and valkey:// can use")
        if not path_of_socket or self._dsn.location:
            raise self._error("must name either a host or a Unix socket")
        return path_of_socket

    def _read_nodes(self) -> list[tuple[str, int]]:
        """Hosts and ports: one of a server, one or more of a cluster."""
        addresses = self._dsn.addresses(self._dsn.location)
        nodes = [(host.removeprefix("[").removesuffix("]"), port or _PORT) for host, port in addresses]
        if not all(host for host, _ in nodes):
            raise self._error(f"names no host: it must look like {self._dsn.scheme}://host:{_PORT}")
        if len(nodes) > 1 and not self.is_cluster:
            raise self._error(f"names several hosts, as only {self._dsn.scheme}+cluster:// can")
        return nodes

    def _read_db(self) -> int:
        text = self._query.get(_DB, "" if self._socket else self._dsn.path) or "0"
        if not text.isdecimal():
            raise self._error("names a database that is no number")
        if self.is_cluster and int(text):
            raise self._error("names a database: a cluster has no other than 0")
        return int(text)

    def _number(self, name: str, kind: Callable[[str], T]) -> T | None:
        if name not in self._query:
            return None
        try:
            number = float(self._query[name])
            if 0 < number < math.inf:
                return kind(self._query[name])
        except ValueError:
            pass
        raise self._error(f"has a {name} that is no {'number of seconds' if kind is float else 'whole number'} above 0")

    def _read_transport(self) -> dict[str, Any]:
        if not self._is_tls:
            return {"connection_class": _TCPConnection}
        verifies = self._query.get(_CERT_REQS, "required")
        if verifies not in ("required", "optional", "none"):
            raise self._error(f"has a {_CERT_REQS} that is not required, optional or none")
        checks = self._query.get(_CHECK_HOSTNAME, "false" if verifies == "none" else "true").lower()
        if checks not in (*_TRUE, *_FALSE):
            raise self._error(f"has a {_CHECK_HOSTNAME} that is neither true nor false")
        if checks in _TRUE and verifies == "none":
            raise self._error(f"has a {_CHECK_HOSTNAME} of true, but without a verified certificate no name is known")
        options: dict[str, Any] = {name: self._query[name] for name in _TLS_STRINGS if name in self._query}
        options |= {_CERT_REQS: verifies, _CHECK_HOSTNAME: checks in _TRUE}
        return {"connection_class": _TLSConnection, "tls": SSLConnection(**options).ssl_context}

    def _error(self, what: str) -> ConfigurationError:
        return ConfigurationError(f"The DSN {self._dsn} {what}.")


# Connections


class _Connections:
    """The connections that are open since the backend was opened, idle or at work, of whatever pool or node."""

    def __init__(self) -> None:
        self._open: set[_Connection] = set()
        self._dropped = False

    async def add(self, connection: _Connection) -> None:
        if self._dropped:  # while it was about to connect
            await connection.disconnect(nowait=True)
            raise RedisConnectionError("The connections were dropped while this one was opened.")
        self._open.add(connection)

    def discard(self, connection: _Connection) -> None:
        self._open.discard(connection)

    async def drop(self) -> None:
        """Close them all, and those that are yet to come."""
        self._dropped = True
        for connection in list(self._open):
            await connection.disconnect(nowait=True)


class _Connection(AbstractConnection):
    """A connection that closes at once, and belongs to a backend.

    redis-py's own waits for the other end's goodbye in TLS, for up to half a minute if that end is silent. Two private
    names of redis-py are used: its connections have no public way to abort the transport, and no public hook between
    connecting and the handshake in which a connection must already be known to `drop`.
    """

    def __init__(self, *, connections: _Connections, **options: Any) -> None:
        super().__init__(**options)
        self._connections = connections

    async def _connect(self) -> None:
        await super()._connect()  # type: ignore[safe-super, no-untyped-call]  # the class that it is mixed with has it
        await self._connections.add(self)

    async def disconnect(self, nowait: bool = False, *arguments: Any, **options: Any) -> None:
        self._connections.discard(self)
        if self._writer is not None:
            self._writer.transport.abort()
        await super().disconnect(nowait, *arguments, **options)


class _TCPConnection(_Connection, TCPConnection):
    pass


class _TLSConnection(_Connection, SSLConnection):
    """Shares what has been loaded of certificates with all others: that takes 20 ms on a fast machine."""

    def __init__(self, *, tls: Any, **options: Any) -> None:
        super().__init__(**options)
        self.ssl_context = tls


class _UnixConnection(_Connection, UnixDomainSocketConnection):
    pass
