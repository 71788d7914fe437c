"""API Gateway's `@connections` endpoint on this machine: it records what is posted, and answers as a test says. The
fixture `endpoint` is one for each test.

    with ConnectionsEndpoint() as endpoint:
        endpoint.script(429, 429, to="abc")  # the next two requests to this connection; then it works
        endpoint.script(410, to="gone", always=True)
        ...  # posts to endpoint.url
        assert endpoint.posts["abc"] == [b"hello"]

`with endpoint_process() as url:` serves the same in a process of its own, for benchmarks: it counts and keeps nothing.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import subprocess
import sys
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, TypeAlias
from urllib.parse import unquote

from tests.servers import HOST

__all__ = [
    "CUT",
    "SILENCE",
    "Answer",
    "ConnectionsEndpoint",
    "Credentials",
    "Raw",
    "Request",
    "endpoint_process",
]

_WAIT_S = 10.0
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Credentials(NamedTuple):
    """What a signature is checked with."""

    access_key: str
    secret_key: str
    token: str | None = None


class Request:
    """What came."""

    def __init__(self, head: bytes, body: bytes) -> None:
        line, _, self._fields = head.decode("latin-1").partition("\r\n")
        self.method, self.target, _ = line.split(" ")
        self.body = body

    @property
    def headers(self) -> dict[str, str]:
        """By name in lower case."""
        pairs = (field.partition(":") for field in self._fields.split("\r\n"))
        return {name.lower(): value.strip() for name, _, value in pairs}

    @property
    def connection_id(self) -> str:
        return unquote(self.target.rpartition("/")[2])


@dataclass(frozen=True)
class Answer:
    """One answer to a request."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    chunked: bool = False
    closes: bool = False

    @cached_property
    def encoded(self) -> bytes:
        lines = [f"HTTP/1.1 {self.status} {_ERRORS.get(self.status, 'OK')}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        lines += ["Connection: close"] if self.closes else []
        if self.chunked:
            parts = [self.body[index : index + 7] for index in range(0, len(self.body), 7)]
            body = b"".join(b"%x;ext=1\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\nTrailer: x\r\n\r\n"
            lines.append("Transfer-Encoding: chunked")
        else:
            body = self.body
            lines += [] if self.status == 204 else [f"Content-Length: {len(body)}"]
        return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass(frozen=True)
class Raw:
    """Bytes in place of an answer, and then perhaps the end of the TCP connection."""

    data: bytes
    closes: bool = False


CUT = Raw(b"", closes=True)  # the connection is closed without an answer
SILENCE = Raw(b"")  # nothing ever comes
Script: TypeAlias = Answer | Raw | int

# As in the service model of botocore, and two that are not in it.
_ERRORS = {
    400: "BadRequestException",
    403: "ForbiddenException",
    410: "GoneException",
    413: "PayloadTooLargeException",
    429: "LimitExceededException",
    500: "InternalServerErrorException",
}
_MESSAGES = {400: "Invalid connectionId: x", 403: "Forbidden", 413: "Request Too Long", 429: "Too Many Requests"}


def _answer(script: Script) -> Answer | Raw:
    if not isinstance(script, int):
        return script
    if script < 300:
        return Answer(script)
    message = {"message": _MESSAGES.get(script), "connectionId": "x", "requestId": "y"}
    return Answer(script, json.dumps(message).encode(), {"x-amzn-ErrorType": _ERRORS.get(script, "Unknown")})


class ConnectionsEndpoint:
    """Runs in a thread of its own, from `with` to its end. What it shows may be read at any time.

    With `credentials`, a request that is not signed with them (for `region`, as botocore would) is answered with 403.
    """

    def __init__(
        self,
        *,
        stage: str = "/test",
        credentials: Credentials | None = None,
        region: str = "eu-west-1",
        tls: ssl.SSLContext | None = None,
        keeps: bool = True,
    ) -> None:
        self.posts: dict[str, list[bytes]] = defaultdict(list)  # what was answered with 200, in order
        self.deleted: list[str] = []  # likewise with 204, or scripted
        self.requests: list[Request] = []  # all, in the order of their ends
        self.count = 0  # of requests
        self.accepted = 0  # TCP connections since the start
        self.url = ""
        self.keep_alive_s: float | None = None  # an idle connection is closed after this time
        self._stage = stage
        self._credentials = credentials
        self._region = region
        self._tls = tls
        self._keeps = keeps
        self._scripts: dict[str | None, deque[Script]] = defaultdict(deque)
        self._always: dict[str | None, Script] = {}
        self._changed = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="connections-endpoint")
        self._ended = asyncio.Event()
        self._open: set[_Exchange] = set()

    # What a test says

    def script(self, *answers: Script, to: str | None = None, always: bool = False) -> None:
        """Give these answers to the next requests to a connection, or to whichever (`to=None`), in turn; then, or with
        none, all is well. `always` repeats the last for ever. It replaces what was said for the same connection before;
        what is said for one goes before what is said for all."""
        self._always.pop(to, None)
        self._scripts[to] = deque(answers)
        if always:
            self._always[to] = self._scripts[to].pop()

    def cut(self) -> None:
        """Close all TCP connections, as a server does with idle ones. New ones work."""
        self._for_each(_Exchange.close)

    def say(self, data: bytes) -> None:
        """Send bytes on all TCP connections, though nobody asked."""
        self._for_each(lambda exchange: exchange.say(data))

    def freeze(self) -> None:
        """Make all TCP connections silent: they stay, and nothing is answered any more. New ones work."""
        self._for_each(_Exchange.freeze)

    @property
    def open_connections(self) -> int:
        """TCP connections at this moment."""
        return len(self._open)

    def wait_until(self, holds: Callable[[ConnectionsEndpoint], bool]) -> None:
        """Wait until something holds; it is looked at after each change. It blocks: in async code, see `reached`."""
        with self._changed:
            if not self._changed.wait_for(lambda: holds(self), _WAIT_S):
                raise TimeoutError(f"It did not come to that; there were {self.count} requests.")

    async def reached(self, holds: Callable[[ConnectionsEndpoint], bool]) -> None:
        """`wait_until`, for async code."""
        await asyncio.get_running_loop().run_in_executor(None, self.wait_until, holds)

    # Its life

    def __enter__(self) -> ConnectionsEndpoint:
        self._thread.start()
        self.wait_until(lambda endpoint: bool(endpoint.url))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        server = await self._loop.create_server(lambda: _Exchange(self), HOST, 0, ssl=self._tls)
        port = server.sockets[0].getsockname()[1]
        self.url = f"{'https' if self._tls else 'http'}://{HOST}:{port}{self._stage}"
        self._tell()
        await self._ended.wait()
        # A server that is closed while it accepts leaves the socket open in Python 3.11, so it has to stop that first.
        self._loop.remove_reader(server.sockets[0].fileno())
        await asyncio.sleep(0)
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})
        server.close()
        while self._open:
            for exchange in list(self._open):
                exchange.abort()
            await asyncio.sleep(0)

    def _for_each(self, action: Callable[[_Exchange], None]) -> None:
        """Do something with all TCP connections, in the endpoint's thread, and wait until it is done."""
        done = threading.Event()

        def act() -> None:
            for exchange in list(self._open):
                action(exchange)
            done.set()

        self._loop.call_soon_threadsafe(act)
        if not done.wait(_WAIT_S):
            raise TimeoutError

    def _tell(self) -> None:
        with self._changed:
            self._changed.notify_all()

    # What it does with a request

    def answer(self, request: Request) -> Answer | Raw:
        """Record a request, and say how it is answered."""
        self.count += 1
        answer = self._answer(request)
        if self._keeps:
            self.requests.append(request)
            if isinstance(answer, Answer) and answer.status in (200, 204):
                if request.method == "POST":
                    self.posts[request.connection_id].append(request.body)
                elif request.method == "DELETE":
                    self.deleted.append(request.connection_id)
        self._tell()
        return answer

    def _answer(self, request: Request) -> Answer | Raw:
        if request.target == "/count":
            return Answer(200, b"%d" % (self.count - 1))
        if not request.target.startswith((f"{self._stage}/%40connections/", f"{self._stage}/@connections/")):
            return Answer(404, b'{"message":"No method found matching route"}')
        for to in (request.connection_id, None):
            if self._scripts.get(to):
                return _answer(self._scripts[to].popleft())
            if to in self._always:
                return _answer(self._always[to])
        if self._credentials is not None and not _is_signed(request, self.url, self._credentials, self._region):
            return _answer(403)
        return _GONE if request.method == "DELETE" else _OK


_OK = Answer()
_GONE = Answer(204)


def _is_signed(request: Request, url: str, credentials: Credentials, region: str) -> bool:
    """Whether botocore, given the time of the request, comes to the same signature."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials as BotoCredentials

    signer = SigV4Auth(BotoCredentials(*credentials), "execute-api", region)
    scope, _, signed_with = request.headers.get("authorization", "").partition(", SignedHeaders=")
    names, _, signature = signed_with.partition(", Signature=")
    origin = "/".join(url.split("/")[:3])
    headers = {name: request.headers.get(name, "") for name in names.split(";")}
    again = AWSRequest(request.method, origin + request.target, headers=headers, data=request.body)
    again.context["timestamp"] = request.headers.get("x-amz-date", "")
    canonical = signer.canonical_request(again)
    return (
        _is_now(again.context["timestamp"])
        and request.headers.get("x-amz-security-token") == credentials.token
        and {"host", "x-amz-date"} <= headers.keys()
        and scope == f"AWS4-HMAC-SHA256 Credential={signer.scope(again)}"
        and signature == signer.signature(signer.string_to_sign(again, canonical), again)
    )


def _is_now(stamp: str) -> bool:
    """AWS takes a signature for five minutes."""
    try:
        signed_at = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return False
    return abs(signed_at - datetime.now(UTC)) < timedelta(minutes=5)


class _Exchange(asyncio.Protocol):
    """One TCP connection, on which requests come one after the other."""

    def __init__(self, endpoint: ConnectionsEndpoint) -> None:
        self._endpoint = endpoint
        self._transport: asyncio.Transport
        self._received = b""
        self._is_frozen = False
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._endpoint.accepted += 1
        self._endpoint._open.add(self)
        self._wait_for_next()

    def connection_lost(self, error: Exception | None) -> None:
        self._endpoint._open.discard(self)
        self._cancel_timer()
        self._endpoint._tell()

    def data_received(self, data: bytes) -> None:
        self._received = received = self._received + data if self._received else data
        if self._is_frozen:
            return
        head, end, body = received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        size = int(length[1]) if length else 0
        if end and len(body) >= size:
            self._received = body[size:]
            self._respond(Request(head, body[:size]))

    def _respond(self, request: Request) -> None:
        answer = self._endpoint.answer(request)
        self._transport.write(answer.data if isinstance(answer, Raw) else answer.encoded)
        if answer.closes:
            self._transport.close()
        else:
            self._wait_for_next()

    def _wait_for_next(self) -> None:
        self._cancel_timer()
        if self._endpoint.keep_alive_s is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._endpoint.keep_alive_s, self._transport.close)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def freeze(self) -> None:
        self._is_frozen = True

    def say(self, data: bytes) -> None:
        self._transport.write(data)

    def close(self) -> None:
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()


@contextmanager
def endpoint_process() -> Iterator[str]:
    """An endpoint in a process of its own, which ends with this one at the latest. Gives its URL; `GET /count` there
    tells the number of requests."""
    command = [sys.executable, "-m", __spec__.name if __spec__ else "tests.servers.connections"]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            url = process.stdout.readline().strip()
            assert url, "the endpoint did not start"
            yield url
        finally:
            process.stdin.close()


def main() -> None:
    """Serve until standard input ends."""
    with ConnectionsEndpoint(keeps=False) as endpoint:
        print(endpoint.url, flush=True)  # noqa: T201
        sys.stdin.read()


if __name__ == "__main__":
    main()
