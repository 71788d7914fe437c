"""The floor of `runtime`: a program that answers each event of the Runtime API with the same bytes, on asyncio, with no
parser, no JSON and no application: `python runtime_floor.py`."""

import asyncio
import os
import re

_REQUEST_ID = re.compile(rb"Request-Id: (\S+)")
_ANSWER = b'{"statusCode":200,"headers":{},"body":"Hello, world!","isBase64Encoded":false}'
_NEXT = b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: floor\r\n\r\n"
_RESPONSE = b"POST /2018-06-01/runtime/invocation/%b/response HTTP/1.1\r\nHost: floor\r\nContent-Length: %d\r\n\r\n%b"


class _Floor(asyncio.BufferedProtocol):
    def __init__(self) -> None:
        self._buffer = memoryview(bytearray(64 * 1024))
        self._transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport
        transport.write(_NEXT)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        found = _REQUEST_ID.search(self._buffer[:nbytes])
        if found is None:  # the answer was taken
            self._transport.write(_NEXT)
        else:
            self._transport.write(_RESPONSE % (found[1], len(_ANSWER), _ANSWER))


async def main() -> None:
    """Answer until somebody ends the process."""
    loop = asyncio.get_running_loop()
    host, _, port = os.environ["AWS_LAMBDA_RUNTIME_API"].partition(":")
    await loop.create_connection(_Floor, host, int(port))
    await loop.create_future()


if __name__ == "__main__":
    asyncio.run(main())
