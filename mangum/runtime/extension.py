"""The runtime as an extension of its own function: Lambda sends SIGTERM only where there is one.
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html#runtimes-lifecycle-shutdown"""

from __future__ import annotations

import asyncio
import logging

from mangum.runtime.api import host_and_port, said
from mangum.runtime.connection import Connection, Outcome

__all__ = ["Extension"]

logger = logging.getLogger("mangum.runtime")

_NAME = "mangum-runtime"
_BODY = b'{"events":[]}'
_ANSWER_S = 1.0


class Extension:
    """Registered for no events. It asks for the next one all the same, as each has to, and never gets it."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._connection: Connection | None = None

    async def register(self) -> None:
        """Register. Where Lambda will not have it, there is no SIGTERM, and nothing else."""
        try:
            async with asyncio.timeout(_ANSWER_S):
                connection = self._connection = await Connection.open(*host_and_port(self._address))
                response = await connection.ask(
                    f"POST /2020-01-01/extension/register HTTP/1.1\r\nHost: {self._address}\r\n"
                    f"Lambda-Extension-Name: {_NAME}\r\nContent-Type: application/json\r\n"
                    f"Content-Length: {len(_BODY)}\r\n\r\n".encode()
                    + _BODY
                )
        except (OSError, TimeoutError) as error:
            self.close()
            logger.info("There will be no SIGTERM: the runtime could not be registered as an extension. %s", error)
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

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            self._connection.close()


def _ignore(outcome: Outcome) -> None:
    """There are no events for it. At the end, the connection breaks."""
