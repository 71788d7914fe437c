"""The runtime as an extension of its own function: Lambda sends SIGTERM only where there is one.
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html#runtimes-lifecycle-shutdown"""

from __future__ import annotations

import asyncio
import logging
import socket

from mangum.core.http1 import HTTPConnection, Outcome
from mangum.runtime.api import host_and_port, said

__all__ = ["Extension"]

logger: logging.Logger = logging.getLogger("mangum.runtime")

_NAME = "mangum-runtime"
_BODY = b'{"events":[]}'
_ANSWER_S = 1.0


class Extension:
    """Registered for no events. It asks for the next one all the same, as each has to, and never gets it."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._socket: socket.socket | None = None  # on which it has been asked for
        self._connection: HTTPConnection | None = None

    def begin(self) -> None:
        """Ask to be registered. The answer comes while the application is imported: to wait for it afterwards would
        take a millisecond of a cold start."""
        try:
            self._socket = socket.create_connection(host_and_port(self._address), timeout=_ANSWER_S)
            self._socket.sendall(
                f"POST /2020-01-01/extension/register HTTP/1.1\r\nHost: {self._address}\r\n"
                f"Lambda-Extension-Name: {_NAME}\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(_BODY)}\r\n\r\n".encode()
                + _BODY
            )
        except OSError as error:
            self._give_up(error)

    async def register(self) -> None:
        """Be registered. Where Lambda will not have it, there is no SIGTERM, and nothing else."""
        if self._socket is None:
            return
        try:
            async with asyncio.timeout(_ANSWER_S):
                connection = self._connection = await HTTPConnection.adopt(self._socket)
                response = await connection.answer()
        except (OSError, TimeoutError) as error:
            self._give_up(error)
            return
        identifier = response.headers.get(b"lambda-extension-identifier")
        if response.status != 200 or identifier is None:
            logger.info("There will be no SIGTERM: the runtime was not registered as an extension. %s", said(response))
            return
        connection.send(
            f"GET /2020-01-01/extension/event/next HTTP/1.1\r\nHost: {self._address}\r\n"
            f"Lambda-Extension-Identifier: {identifier.decode()}\r\n\r\n".encode(),
            _ignore,
        )

    def _give_up(self, error: Exception) -> None:
        self.close()
        logger.info("There will be no SIGTERM: the runtime could not be registered as an extension. %s", error)

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            self._connection.close()
        elif self._socket is not None:
            self._socket.close()
        self._socket = None


def _ignore(outcome: Outcome) -> None:
    """There are no events for it. At the end, the connection breaks."""
