"""A front door of AWS on this machine: each request becomes an event, the function's answer a response."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mangum.local.answers import ANSWER_READERS, MalformedAnswer
from mangum.local.events import EVENT_BUILDERS
from mangum.local.function import FunctionFailed
from mangum.local.invocations import Invocation, Journal
from mangum.local.requests import HOP_BY_HOP, HTTPRequest
from mangum.local.service import LambdaService
from mangum.protocols.http import request_line
from mangum.types import ASGI, Receive, Scope, Send

__all__ = ["Gateway"]

logger = logging.getLogger("mangum.local")

Report = Callable[[str], None]


class Gateway:
    """What listens on the port of `mangum dev`, as an ASGI application: sends each request where it belongs."""

    def __init__(self, http: ASGI) -> None:
        self._http = http

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)

    def close(self) -> None:
        """End what would not end by itself."""


class HTTPFront:
    """The front door for HTTP requests: any method, any path."""

    def __init__(self, service: LambdaService, source: str, journal: Journal, report: Report) -> None:
        self._service = service
        self._source = source
        self._build_event = EVENT_BUILDERS[source]
        self._read_answer = ANSWER_READERS[source]
        self._journal = journal
        self._report = report

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begin = time.perf_counter()
        request = Request(scope, receive)
        event = self._build_event(await _read_request(request))
        invocation = Invocation(source=self._source, title=request_line(scope), event=event)
        self._journal.begin(invocation)
        response = await self._answer(invocation, request.method)
        invocation.status = response.status_code
        self._journal.end(invocation)
        duration_ms = (time.perf_counter() - begin) * 1000
        self._report(f"{invocation.title} {response.status_code} {duration_ms:.1f} ms")
        await response(scope, receive, send)

    async def _answer(self, invocation: Invocation, method: str) -> Response:
        try:
            status, headers, body = self._read_answer(json.loads(await self._service.invoke(invocation)))
        except MalformedAnswer as error:
            logger.error("The function's answer is malformed: %s.", error)
            return JSONResponse({"message": "Internal server error"}, 502)
        except FunctionFailed as error:
            logger.error("%s: %s", invocation.title, error)
            return JSONResponse({"message": "Internal server error"}, 502)
        response = Response(body, status)
        # AWS computes the length, except of an answer to HEAD, and leaves hop-by-hop headers out.
        left_out = HOP_BY_HOP if method == "HEAD" else HOP_BY_HOP | {"content-length"}
        pairs = [(name.encode("latin-1"), value.encode()) for name, value in headers if name not in left_out]
        named = {name for name, _ in pairs}
        response.raw_headers = [pair for pair in response.raw_headers if pair[0] not in named] + pairs
        return response


async def _read_request(request: Request) -> HTTPRequest:
    scope = request.scope
    server = scope.get("server") or ("127.0.0.1", 80)
    return HTTPRequest(
        method=request.method,
        path=scope["raw_path"].decode("ascii"),
        query_string=scope["query_string"].decode("ascii"),
        headers=tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw),
        body=await request.body(),
        client=request.client.host if request.client else "127.0.0.1",
        scheme=request.url.scheme,
        port=server[1] or 80,
    )
