"""A runtime's requests to the Runtime API: the next event, its answer, an error.
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeGuard

from mangum.core.http1 import ConnectionLost, HTTPConnection, HTTPResponse, Outcome
from mangum.runtime.errors import ContainerBroken, RuntimeAPIUnreachable, field_value

__all__ = ["RuntimeAPI", "checked", "host_and_port", "is_event", "said"]

logger: logging.Logger = logging.getLogger("mangum.runtime")

_REQUEST_ID = b"lambda-runtime-aws-request-id"
_CONNECT_S = 5.0
_ANSWER_S = 5.0  # for a request that waits for nothing
# Between two requests for an event where there was none; it doubles.
_FIRST_PAUSE_S = 0.05
_MOST_PAUSE_S = 2.0


def host_and_port(address: str) -> tuple[str, int]:
    """Of "host:port"."""
    host, _, port = address.rpartition(":")
    return host.strip("[]") or "127.0.0.1", int(port)


class RuntimeAPI:
    """The Runtime API, on one connection that is kept: for one event at a time."""

    def __init__(self, address: str, patience_s: float = 0.0) -> None:
        """Where there is no event, but something else, it is asked again for `patience_s` seconds."""
        self._patience_s = patience_s
        self._address = host_and_port(address)
        self._host = address.encode()
        self._next = self._head(b"GET", b"/invocation/next")
        self._connection: HTTPConnection | None = None

    def ask(self, receive: Callable[[Outcome], None]) -> None:
        """Ask for the next event. `receive` gets it, whenever it comes, or what came instead."""
        if self._connection is None:
            receive(ConnectionLost("there is no connection yet"))
        else:
            self._connection.send(self._next, receive)

    async def next(self, instead: Outcome) -> HTTPResponse:
        """The next event, where `ask` got something else: it is asked for again, and again.

        Raises:
            ContainerBroken: the execution environment cannot go on.
            RuntimeAPIUnreachable: it went wrong for too long.
        """
        loop = asyncio.get_running_loop()
        since = loop.time()
        pause_s = 0.0
        while True:
            failure = said(checked(instead)) if isinstance(instead, HTTPResponse) else str(instead)
            if pause_s:
                if loop.time() - since > self._patience_s:
                    raise RuntimeAPIUnreachable(f"The Runtime API gave no event for {self._patience_s:g} s: {failure}.")
                logger.warning("There is no event: %s. It is asked for again.", failure)
                await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2 or _FIRST_PAUSE_S, _MOST_PAUSE_S)
            try:
                instead = await self._request(self._next)
                if is_event(instead):
                    return instead
            except (OSError, TimeoutError) as error:
                instead = ConnectionLost(str(error) or "it takes too long to connect")

    def post(self, path: bytes, fields: bytes, body: bytes, receive: Callable[[Outcome], None]) -> None:
        """Send something of an event. `fields` are lines of the head. `receive` gets what the other side says of it."""
        self._current().send(self._whole(path, fields, body), receive)

    async def post_again(self, path: bytes, fields: bytes, body: bytes) -> HTTPResponse:
        """Send it on a new connection, where the other one has broken.

        Raises:
            OSError: this one too.
            TimeoutError: there is no answer.
        """
        return await self._ask_soon(self._whole(path, fields, body))

    def open_stream(self, path: bytes, fields: bytes) -> tuple[HTTPConnection, bytes]:
        """For an answer that is sent bit by bit: where to, and with what ahead of it."""
        return self._current(), self._head(b"POST", path, b"%bTransfer-Encoding: chunked\r\n" % fields)

    async def report(self, path: bytes, document: Mapping[str, Any], fields: bytes = b"", kind: str = "") -> None:
        """Say that something went wrong: `kind`, or what the document says. If that goes wrong too, it is logged.

        Raises:
            ContainerBroken: the execution environment cannot go on.
        """
        fields = b"%bContent-Type: application/json\r\nLambda-Runtime-Function-Error-Type: %b\r\n" % (
            fields,
            _category(kind or str(document["errorType"])),
        )
        try:
            response = await self._ask_soon(self._whole(path, fields, json.dumps(document).encode()))
        except (OSError, TimeoutError) as error:
            logger.error("An error could not be reported to Lambda: %s.", str(error) or "there was no answer")
            return
        if checked(response).status != 202:
            logger.error("Lambda has refused the report of an error: %s.", said(response))

    async def wait_restored(self) -> None:
        """SnapStart: wait until the environment has been restored from its snapshot.

        Raises:
            ContainerBroken: the execution environment cannot go on.
            OSError: nobody is there.
        """
        response = checked(await self._request(self._head(b"GET", b"/restore/next")))
        if response.status != 200:
            logger.warning("There was no restore: %s.", said(response))

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()

    def _current(self) -> HTTPConnection:
        assert self._connection is not None  # the event came on it
        return self._connection

    async def _connect(self) -> HTTPConnection:
        if self._connection is None or self._connection.is_lost:
            self.close()
            self._connection = None
            due = asyncio.get_running_loop().time() + _CONNECT_S
            self._connection = await HTTPConnection.open(*self._address, due=due)
        return self._connection

    async def _ask_soon(self, request: bytes) -> HTTPResponse:
        """Ask for something that is answered at once."""
        try:
            async with asyncio.timeout(_ANSWER_S):
                return await self._request(request)
        except TimeoutError:
            self.close()
            raise

    async def _request(self, request: bytes) -> HTTPResponse:
        """Ask, and once again on a new connection where the one that was kept has died, as it may in a freeze."""
        was_open = self._connection is not None and not self._connection.is_lost
        try:
            return await (await self._connect()).ask(request)
        except ConnectionLost:
            if not was_open:
                raise
            return await (await self._connect()).ask(request)

    def _whole(self, path: bytes, fields: bytes, body: bytes) -> bytes:
        return self._head(b"POST", path, b"%bContent-Length: %d\r\n" % (fields, len(body))) + body

    def _head(self, method: bytes, path: bytes, fields: bytes = b"") -> bytes:
        return b"%b /2018-06-01/runtime%b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (method, path, self._host, fields)


def is_event(outcome: Outcome) -> TypeGuard[HTTPResponse]:
    """Whether it is the event that was asked for."""
    return isinstance(outcome, HTTPResponse) and outcome.status == 200 and _REQUEST_ID in outcome.headers


def checked(response: HTTPResponse) -> HTTPResponse:
    """The same.

    Raises:
        ContainerBroken: it says that the execution environment cannot go on.
    """
    if response.status >= 500:
        raise ContainerBroken(f"The Runtime API cannot go on: {said(response)}.")
    return response


def said(response: HTTPResponse) -> str:
    """A refusal of the Runtime API, for a log."""
    return f"{response.status} {response.body[:300].decode(errors='replace')}".strip()


def _category(error_type: str) -> bytes:
    """Lambda wants "Category.Reason"."""
    return field_value(error_type if "." in error_type else f"Function.{error_type}")
