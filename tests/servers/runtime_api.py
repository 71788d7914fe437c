"""Lambda's Runtime API for one execution environment, held to the letter: what AWS would refuse is refused, and all
else that a runtime does wrong, down to the framing of a stream, is kept in `violations`. And what can go wrong here.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html#runtimes-custom-response-streaming
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import socket
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any

__all__ = ["Delivered", "RuntimeAPIServer", "Stream"]

LIMIT = 6_291_556
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CHUNK_SIZE = re.compile(rb"[0-9a-fA-F]{1,8}")
_ERROR_TYPE = "lambda-runtime-function-error-type"
_ERROR_BODY = "lambda-runtime-function-error-body"
_PRELUDE_KEYS = {"statusCode", "headers", "multiValueHeaders", "cookies"}
_RECEIVE_BUFFER_BYTES = 2**20
_TURNS_TO_BEGIN = 5
_ABOUT = re.compile("/invocation/([^/]+)/(?:response|error)$")
_INTEGRATION = "application/vnd.awslambda.http-integration-response"


class Violation(Exception):
    """The runtime did what it must not."""


class Stream:
    """A streamed response, as it comes in."""

    def __init__(self) -> None:
        self.prelude: dict[str, Any] = {}
        self.chunks: list[bytes] = []
        self.size = 0
        self.trailers: dict[str, str] = {}
        self.keeps = True  # all chunks
        self.changed = asyncio.Event()
        self.gate: asyncio.Event | None = None  # whether more is read, for a client that is slow

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)

    @property
    def error(self) -> dict[str, Any] | None:
        """What the trailers say."""
        if not self.trailers:
            return None
        document: dict[str, Any] = json.loads(base64.b64decode(self.trailers[_ERROR_BODY]))
        assert document["errorType"] == self.trailers[_ERROR_TYPE]
        return document

    async def until(self, condition: Callable[[Stream], bool]) -> None:
        """Wait until it has come so far."""
        while not condition(self):
            self.changed.clear()
            await self.changed.wait()


class Delivered:
    """An event, and what becomes of it."""

    def __init__(self, event: bytes, headers: Mapping[str, str | None], timeout_s: float) -> None:
        self.request_id = str(uuid.uuid4())
        self.invocation_id = str(uuid.uuid4())
        self.event = event
        self.headers: dict[str, str] = {}  # with which it was handed out
        self._own_headers = headers
        self._timeout_s = timeout_s
        self.body: bytes | None = None
        self.content_type = ""
        self.error: dict[str, Any] | None = None
        self.error_type = ""
        self.stream = Stream()
        self.is_streamed = False
        self.state = "queued"  # "running", "answering", "refused", "answered"
        self.attempt: str | None = None  # the invocation id that came back
        self.connection: asyncio.StreamWriter | None = None
        self.answered: asyncio.Event = asyncio.Event()

    def hand_out(self, connection: asyncio.StreamWriter) -> None:
        """Give it to a runtime. Its time begins now: a process takes its own to start."""
        self.state = "running"
        self.connection = connection
        sent: dict[str, str | None] = {
            "Content-Type": "application/json",
            "Lambda-Runtime-Aws-Request-Id": self.request_id,
            "Lambda-Runtime-Invocation-Id": self.invocation_id,
            "Lambda-Runtime-Deadline-Ms": str(int((time.time() + self._timeout_s) * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-west-1:123456789012:function:hello:live",
            "Lambda-Runtime-Trace-Id": f"Root=1-{uuid.uuid4().hex[:8]}-{uuid.uuid4().hex[:24]};Sampled=0",
            **self._own_headers,
        }
        self.headers = {name: value for name, value in sent.items() if value is not None}
        _send(connection, 200, self.event, self.headers)

    async def settled(self, timeout_s: float = 20) -> None:
        """Wait until it has been answered, or the runtime has failed to."""
        async with asyncio.timeout(timeout_s):
            await self.answered.wait()

    async def answer(self, timeout_s: float = 20) -> Any:
        """The answer's JSON."""
        await self.settled(timeout_s)
        assert self.error is None, self.error
        assert self.body is not None
        return json.loads(self.body)

    async def failure(self, timeout_s: float = 20) -> dict[str, Any]:
        """What the runtime has reported instead."""
        await self.settled(timeout_s)
        assert self.error is not None, self.body
        return self.error


class Head:
    """A request's."""

    def __init__(self, raw: bytes, address: str) -> None:
        line, *fields = raw[:-4].split(b"\r\n")
        match = re.fullmatch(rb"(GET|POST) (/[!-~]*) HTTP/1\.1", line)
        if match is None:
            raise Violation(f"a request line: {line!r}")
        self.method = match[1].decode()
        self.path = match[2].decode()
        self.headers: dict[str, str] = {}
        for field in fields:
            name, colon, value = field.partition(b":")
            if not colon or not _TOKEN.fullmatch(name):
                raise Violation(f"a header: {field!r}")
            key = name.decode().lower()
            if key in self.headers:
                raise Violation(f"a header that comes twice: {key}")
            self.headers[key] = value.strip(b" \t").decode("latin-1")
        if self.headers.get("host") != address:
            raise Violation(f"the host {self.headers.get('host')!r}, which is {address}")
        if "content-length" in self.headers and "transfer-encoding" in self.headers:
            raise Violation("a length and an encoding")


class RuntimeAPIServer:
    """`async with` it. `faults` says what goes wrong: by the end of a path ("next", "response", "error", "register",
    "restore/next"), what the next requests get in its place: a status, bytes, "close" or "hang"."""

    def __init__(self, *, concurrency: int = 1, snap_start: bool = False) -> None:
        self.address = ""
        self.violations: list[str] = []
        self.faults: dict[str, deque[Any]] = {}
        self.requests: list[str] = []
        self.init_error: dict[str, Any] | None = None
        self.init_error_type = ""
        self.restore_error: dict[str, Any] | None = None
        self.extensions: dict[str, str] = {}  # names by identifier
        self.waiting_extensions: set[str] = set()
        self.connections: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}  # and the task of each
        self.restored = asyncio.Event()
        self.changed = asyncio.Event()
        self._concurrency = concurrency
        self._snap_start = snap_start
        self._is_ready = False
        self._queue: deque[Delivered] = deque()
        self._polls: deque[asyncio.StreamWriter] = deque()
        self._events: dict[str, Delivered] = {}
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> RuntimeAPIServer:
        await self.listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.refuse()

    async def listen(self) -> None:
        """Open the port: the same one again, after `refuse`."""
        port = int(self.address.partition(":")[2] or 0)
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Set by hand, the kernel does not let it grow: up to 32 MB, where the machine is set so.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        listener.bind(("127.0.0.1", port))
        self._server = await asyncio.start_server(self._converse, sock=listener, limit=2**22)
        host, port = self._server.sockets[0].getsockname()
        self.address = f"{host}:{port}"

    async def refuse(self) -> None:
        """Close the port, and all connections."""
        assert self._server is not None
        self._server.close()
        for _ in range(_TURNS_TO_BEGIN):  # a conversation, from the moment that the connection was accepted
            await asyncio.sleep(0)
        for connection, conversation in self.connections.items():
            connection.transport.abort()
            assert conversation is not None
            conversation.cancel()  # it may wait for what a test that failed did not come to
        while self.connections:
            await self._wait()

    def put(self, event: Any, headers: Mapping[str, str | None] | None = None, *, timeout_s: float = 30) -> Delivered:
        """An event for the function. Bytes are handed over as they are. A header that is `None` is left out."""
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        delivered = Delivered(body, headers or {}, timeout_s)
        self._events[delivered.request_id] = delivered
        self._queue.append(delivered)
        self._hand_out()
        return delivered

    @property
    def waiting(self) -> int:
        """How many requests for an event wait."""
        return len(self._polls)

    async def until(self, condition: Callable[[RuntimeAPIServer], bool], timeout_s: float = 20) -> None:
        """Wait until something has come about."""
        async with asyncio.timeout(timeout_s):
            while not condition(self):
                await self._wait()

    async def ready(self, count: int = 1) -> None:
        """Wait until so many requests for an event wait."""
        await self.until(lambda server: server.waiting == count)

    async def _wait(self) -> None:
        self.changed.clear()
        await self.changed.wait()

    # Connections

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections[writer] = asyncio.current_task()
        try:
            while await self._take(reader, writer):
                pass
        except Violation as violation:
            self.violations.append(str(violation))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            if writer in self._polls:
                self._polls.remove(writer)
            self.changed.set()
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            del self.connections[writer]
            self.changed.set()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request."""
        try:
            raw = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise Violation(f"half a request: {error.partial[:100]!r}") from None
            return False
        if writer in self._polls:
            raise Violation("a request on a connection where another one waits for its answer")
        head = Head(raw, self.address)
        self.requests.append(f"{head.method} {head.path}")
        self.changed.set()
        if head.headers.get("expect") == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        for end, faults in self.faults.items():
            if head.path.endswith(end) and faults:
                return await self._do_wrong(faults.popleft(), head, reader, writer)
        return await self._route(head, reader, writer)

    async def _do_wrong(
        self, fault: Any, head: Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        match = _ABOUT.search(head.path)
        if match is not None and fault != "close early" and not str(fault).startswith(("413", "b'HTTP/1.1 413")):
            self._events[match[1]].state = "lost"
        if fault == "hang":
            await reader.read()
            return False
        if fault == "close early":
            writer.transport.abort()
            return False
        if head.headers.get("transfer-encoding") != "chunked":
            await self._body(head, reader)
        if fault == "close":
            return False
        if isinstance(fault, bytes):
            writer.write(fault)
            await writer.drain()
            return False
        _reply(writer, fault, {"errorMessage": "by order", "errorType": "Ordered"})
        return True

    async def _route(self, head: Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        runtime = head.path.removeprefix("/2018-06-01/runtime")
        route = f"{head.method} {runtime}"
        if route == "GET /invocation/next":
            self._next(writer)
            return True
        if route == "POST /init/error":
            self.init_error = json.loads(await self._body(head, reader))
            self.init_error_type = head.headers.get(_ERROR_TYPE, "")
            if self._is_ready:
                raise Violation("an error of init after init")
            _reply(writer, 202, {"status": "OK"})
            return True
        if route in ("GET /restore/next", "POST /restore/error"):
            return await self._restore(route, head, reader, writer)
        if head.path.startswith("/2020-01-01/extension/"):
            return await self._extension(head, reader, writer)
        match = re.fullmatch(r"POST /invocation/([^/]+)/(response|error)", route)
        if match is None:
            raise Violation(f"a request to nowhere: {head.method} {head.path}")
        return await self._answer(match[1], match[2], head, reader, writer)

    def _next(self, writer: asyncio.StreamWriter) -> None:
        if self._snap_start and not self.restored.is_set():
            raise Violation("an event is asked for before the restore")
        running = sum(delivered.state in ("running", "answering", "refused") for delivered in self._events.values())
        if len(self._polls) + running >= self._concurrency:
            self.violations.append("more events are asked for than may run at once")
            _reply(writer, 403, {"errorType": "InvalidStateTransition", "errorMessage": "too many"})
            return
        if self.init_error is not None:
            raise Violation("an event is asked for after an error of init")
        self._is_ready = True
        self._polls.append(writer)
        self._hand_out()
        self.changed.set()

    def _hand_out(self) -> None:
        while self._queue and self._polls:
            self._queue.popleft().hand_out(self._polls.popleft())

    async def _answer(
        self, request_id: str, kind: str, head: Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        delivered = self._events.get(request_id)
        attempt = head.headers.get("lambda-runtime-invocation-id")
        if delivered is not None:
            delivered.attempt = attempt
        # Runtimes that are older than the header do not send it, and are let be.
        if delivered is None or attempt not in (None, delivered.invocation_id):
            await self._body(head, reader)
            self.violations.append(f"an answer to an event that is not there: {head.path}")
            _reply(writer, 400, {"errorType": "InvalidRequestID", "errorMessage": "Invalid request ID"})
            return True
        allowed = ("running",) if kind == "response" else ("running", "refused")
        if delivered.state not in allowed:
            await self._body(head, reader)
            self.violations.append(f"{head.path} while it is {delivered.state}")
            _reply(writer, 403, {"errorType": "InvalidStateTransition", "errorMessage": "not allowed"})
            return True
        if kind == "error":
            delivered.error = json.loads(await self._body(head, reader))
            delivered.error_type = head.headers.get(_ERROR_TYPE, "")
        elif "lambda-runtime-function-response-mode" in head.headers:
            delivered.state = "answering"
            return await self._stream(delivered, head, reader, writer)
        else:
            body = await self._body(head, reader)
            if not head.headers.get("content-type"):
                self.violations.append("a response without a type")
            delivered.content_type = head.headers.get("content-type", "")
            if len(body) > LIMIT:
                delivered.state = "refused"
                message = f"Exceeded maximum allowed payload size ({LIMIT} bytes)."
                _reply(writer, 413, {"errorType": "RequestEntityTooLarge", "errorMessage": message})
                return True
            delivered.body = body
        self._settle(delivered)
        _reply(writer, 202, {"status": "OK"})
        return True

    def _settle(self, delivered: Delivered) -> None:
        delivered.state = "answered"
        delivered.answered.set()
        del self._events[delivered.request_id]
        self.changed.set()

    async def _stream(
        self, delivered: Delivered, head: Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        headers, stream = head.headers, delivered.stream
        if headers["lambda-runtime-function-response-mode"] != "streaming":
            raise Violation("a response mode that there is not")
        if headers.get("transfer-encoding") != "chunked":
            raise Violation("a stream that is not chunked")
        if headers.get("content-type") != _INTEGRATION:
            raise Violation(f"a stream of the type {headers.get('content-type')}")
        announced = {name.strip().lower() for name in headers.get("trailer", "").split(",")}
        delivered.is_streamed = True
        unread = b""
        has_prelude = False
        async for chunk in self._chunks(reader, stream.trailers):
            if stream.gate is not None:
                await stream.gate.wait()
            if has_prelude:
                self._keep(stream, chunk)
                continue
            unread += chunk
            document, delimiter, rest = unread.partition(bytes(8))
            if delimiter:
                has_prelude = True
                stream.prelude = json.loads(document)
                if len(document) + 8 > 16 * 1024:
                    self.violations.append("a prelude that is too large for API Gateway")
                if not set(stream.prelude) <= _PRELUDE_KEYS:
                    self.violations.append(f"keys in a prelude: {set(stream.prelude) - _PRELUDE_KEYS}")
                if rest:
                    self._keep(stream, rest)
                stream.changed.set()
        if not has_prelude:
            raise Violation("a stream without a prelude")
        if not set(stream.trailers) <= announced:
            self.violations.append(f"trailers that were not announced: {set(stream.trailers) - announced}")
        delivered.body = stream.body
        self._settle(delivered)
        stream.changed.set()
        _reply(writer, 202, {"status": "OK"})
        if await reader.read(1):
            self.violations.append("the connection goes on after a stream")
        return False

    def _keep(self, stream: Stream, data: bytes) -> None:
        stream.size += len(data)
        if stream.keeps:
            stream.chunks.append(data)
        stream.changed.set()

    async def _restore(
        self, route: str, head: Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        body = await self._body(head, reader)
        if not self._snap_start:
            _reply(writer, 404, {"errorType": "NotFound", "errorMessage": "SnapStart is not enabled"})
            return True
        if route == "POST /restore/error":
            self.restore_error = json.loads(body)
            _reply(writer, 202, {"status": "OK"})
            self.changed.set()
            return True
        await self.restored.wait()
        _send(writer, 200, b"", {})
        return True

    async def _extension(self, head: Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        body = await self._body(head, reader)
        route = f"{head.method} {head.path.removeprefix('/2020-01-01/extension')}"
        if route == "POST /register":
            name = head.headers.get("lambda-extension-name", "")
            if self._is_ready or not name or name in self.extensions.values():
                self.violations.append(f"an extension that cannot be registered: {name!r}")
                _reply(writer, 403, {"errorType": "Extension.RegistrationClosed", "errorMessage": "closed"})
                return True
            if json.loads(body)["events"]:
                self.violations.append("an internal extension wants events")
            identifier = str(uuid.uuid4())
            self.extensions[identifier] = name
            _send(writer, 200, b"{}", {"Lambda-Extension-Identifier": identifier})
            return True
        if route == "GET /event/next":
            self.waiting_extensions.add(self.extensions[head.headers["lambda-extension-identifier"]])
            self.changed.set()
            await reader.read()
            return False
        raise Violation(f"a request to nowhere: {head.method} {head.path}")

    async def _body(self, head: Head, reader: asyncio.StreamReader) -> bytes:
        if head.headers.get("transfer-encoding") == "chunked":
            return b"".join([chunk async for chunk in self._chunks(reader, {})])
        length = head.headers.get("content-length", "0" if head.method == "GET" else "")
        if not re.fullmatch("[0-9]+", length):
            raise Violation(f"a body of the length {length!r}")
        return await reader.readexactly(int(length))

    async def _chunks(self, reader: asyncio.StreamReader, trailers: dict[str, str]) -> Any:
        """Each chunk of a body, checked byte for byte."""
        while True:
            line = await reader.readuntil(b"\r\n")
            if not _CHUNK_SIZE.fullmatch(line[:-2]):
                raise Violation(f"the size of a chunk: {line!r}")
            size = int(line, 16)
            if size == 0:
                break
            chunk = await reader.readexactly(size + 2)
            if chunk[-2:] != b"\r\n":
                raise Violation(f"a chunk that ends in {chunk[-2:]!r}")
            yield chunk[:-2]
        while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
            name, colon, value = line[:-2].partition(b":")
            if not colon or not _TOKEN.fullmatch(name):
                raise Violation(f"a trailer: {line!r}")
            trailers[name.decode().lower()] = value.strip().decode()


def _reply(writer: asyncio.StreamWriter, status: int, document: Any) -> None:
    _send(writer, status, json.dumps(document).encode(), {"Content-Type": "application/json"})


def _send(writer: asyncio.StreamWriter, status: int, body: bytes, headers: Mapping[str, str]) -> None:
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"HTTP/1.1 {status} Status\r\n{fields}Content-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode(errors="surrogateescape") + body)
