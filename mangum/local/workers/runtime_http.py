"""HTTP/1.1 as a Lambda runtime speaks it to its Runtime API: a few connections on loopback, requests one after another,
and one of them that is answered when the next event comes, however long that takes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

import h11

from mangum.handlers.bodies import LAMBDA_RESPONSE_LIMIT

__all__ = ["BodySink", "HTTPConnection", "Request", "RequestHandler"]

# The Python runtime may put a megabyte of X-Ray data into one header.
_MOST_HEAD_BYTES = 2 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request. A body over Lambda's limit is left out."""

    method: str
    path: str
    headers: Mapping[str, str]  # names in lower case
    body: bytes = b""
    is_too_large: bool = False


class BodySink(Protocol):
    """Takes the body of a request as it comes."""

    def feed(self, data: bytes) -> None: ...

    def end(self, trailers: Mapping[str, str]) -> None: ...

    def break_off(self) -> None:
        """The connection ended within it."""


class RequestHandler(Protocol):
    """Who answers requests: with `connection.reply`, at once or later. None of these may wait."""

    def opened(self, connection: HTTPConnection) -> None: ...

    def sink_for(self, head: Request, connection: HTTPConnection) -> BodySink | None:
        """Who takes the body of a request that has begun; by default it is collected for `handle`."""

    def handle(self, request: Request, connection: HTTPConnection) -> None: ...

    def truncated(self, request: Request) -> None:
        """The connection ended within the request's body."""

    def closed(self, connection: HTTPConnection) -> None: ...


class HTTPConnection(asyncio.Protocol):
    """The server's side of a connection."""

    def __init__(self, handler: RequestHandler) -> None:
        self._handler = handler
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=_MOST_HEAD_BYTES)
        self._head: h11.Request | None = None  # of the request whose body is being read
        self._sink: BodySink | None = None  # for it
        self._body = bytearray()
        self._size = 0
        self._is_reading = False

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._handler.opened(self)

    def data_received(self, data: bytes) -> None:
        self._http.receive_data(data)
        self._read()

    def eof_received(self) -> None:
        self._http.receive_data(b"")
        self._read()
        self._handler.closed(self)  # nothing can be answered any more: asyncio closes it next

    def connection_lost(self, error: Exception | None) -> None:
        self._drop_sink()
        self._handler.closed(self)

    # What the handler calls

    def reply(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        """Answer the request that was handed over last."""
        fields = {"content-type": "application/json", "content-length": str(len(body)), **(headers or {})}
        response = h11.Response(status_code=status, headers=list(fields.items()))
        self._send(response, h11.Data(data=body), h11.EndOfMessage())
        if self._http.our_state is h11.MUST_CLOSE:
            self._transport.close()
        elif not self._is_reading:
            self._read()  # what has come in meanwhile

    def reply_json(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        """Answer with a JSON document."""
        self.reply(status, json.dumps(body).encode(), headers)

    def pause(self, is_paused: bool) -> None:
        """Read no more for now, or go on."""
        if not self._transport.is_closing():
            if is_paused:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def abort(self) -> None:
        """Close it, whatever is under way."""
        self._transport.abort()

    # From bytes to requests

    def _read(self) -> None:
        self._is_reading = True
        try:
            while self._advance():
                pass
            if self._http.they_are_waiting_for_100_continue:
                self._send(h11.InformationalResponse(status_code=100, headers=[]))
        except h11.RemoteProtocolError as error:
            self._refuse(error)
        finally:
            self._is_reading = False

    def _advance(self) -> bool:
        """Take what comes next. Returns whether more may be there."""
        if self._http.states == {h11.CLIENT: h11.DONE, h11.SERVER: h11.DONE}:
            self._http.start_next_cycle()
        event = self._http.next_event()
        if isinstance(event, h11.Request):
            self._head = event
            self._sink = self._handler.sink_for(_request_of(event), self)
        elif isinstance(event, h11.Data) and self._sink is not None:
            self._sink.feed(bytes(event.data))
        elif isinstance(event, h11.EndOfMessage) and self._sink is not None:
            sink, self._sink, self._head = self._sink, None, None
            sink.end(_text(event.headers))
        elif isinstance(event, h11.Data):
            self._size += len(event.data)
            if self._size <= LAMBDA_RESPONSE_LIMIT:
                self._body += event.data
        elif isinstance(event, h11.EndOfMessage):
            request = self._end_request()
            self._handler.handle(request, self)
        elif isinstance(event, h11.ConnectionClosed):
            self._transport.close()
            return False
        return event is not h11.NEED_DATA and event is not h11.PAUSED

    def _end_request(self) -> Request:
        head, body, size = self._head, bytes(self._body), self._size
        assert head is not None
        self._head, self._body, self._size = None, bytearray(), 0
        return _request_of(head, body, is_too_large=size > LAMBDA_RESPONSE_LIMIT)

    def _refuse(self, error: h11.RemoteProtocolError) -> None:
        """It is not HTTP, or ended in the middle of it."""
        self._drop_sink()
        if self._head is not None:
            self._handler.truncated(self._end_request())
        self.reply_json(400, {"errorMessage": str(error), "errorType": "InvalidRequest"}, {"connection": "close"})
        self._transport.close()

    def _drop_sink(self) -> None:
        if self._sink is not None:
            sink, self._sink, self._head = self._sink, None, None
            sink.break_off()

    def _send(self, *events: h11.Event) -> None:
        self._transport.write(b"".join(self._http.send(event) or b"" for event in events))


def _request_of(head: h11.Request, body: bytes = b"", *, is_too_large: bool = False) -> Request:
    return Request(
        method=head.method.decode("ascii"),
        path=head.target.decode("ascii"),
        headers=_text(head.headers),
        body=b"" if is_too_large else body,
        is_too_large=is_too_large,
    )


def _text(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("ascii"): value.decode("latin-1") for name, value in headers}
