"""A front door of AWS on this machine: each request becomes an event, the handler's answer a response."""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Router

from mangum.adapter import Mangum
from mangum.local.answers import ANSWER_READERS, MalformedAnswer
from mangum.local.context import LocalContext
from mangum.local.events import EVENT_BUILDERS
from mangum.local.requests import HOP_BY_HOP, HTTPRequest
from mangum.protocols.http import request_line
from mangum.types import Receive, Scope, Send

__all__ = ["Gateway"]

logger = logging.getLogger("mangum.local")


class Gateway:
    """An ASGI application that stands in front of a Lambda handler, as `source` does on AWS.

    The handler is called in a worker thread, one event at a time, as Lambda calls it in a sandbox. `report` is given a
    line about each request.
    """

    def __init__(
        self, handler: Callable[[Any, Any], Any], source: str, *, timeout_s: float, report: Callable[[str], None]
    ) -> None:
        self._handler = handler
        self._build_event = EVENT_BUILDERS[source]
        self._read_answer = ANSWER_READERS[source]
        self._timeout_s = timeout_s
        self._report = report
        self._sandbox = CapacityLimiter(1)
        self.app = Router(default=self._serve, lifespan=self._keep_handler)  # any path, any method

    @contextlib.asynccontextmanager
    async def _keep_handler(self, app: Any) -> AsyncIterator[None]:
        """Start a `Mangum` as in Lambda's init phase, and close it with the server."""
        if isinstance(self._handler, Mangum):
            await to_thread.run_sync(self._handler.start, limiter=self._sandbox)
        yield
        if isinstance(self._handler, Mangum):
            await to_thread.run_sync(self._handler.close, limiter=self._sandbox)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        begin = time.perf_counter()
        request = Request(scope, receive)
        response = await self._answer(self._build_event(await _read_request(request)), request.method)
        duration_ms = (time.perf_counter() - begin) * 1000
        self._report(f"{request_line(scope)} {response.status_code} {duration_ms:.1f} ms")
        await response(scope, receive, send)

    async def _answer(self, event: dict[str, Any], method: str) -> Response:
        try:
            answer = await to_thread.run_sync(self._invoke, json.dumps(event), limiter=self._sandbox)
            status, headers, body = self._read_answer(json.loads(answer))
        except MalformedAnswer as error:
            logger.error("The function's answer is malformed: %s.", error)
            return JSONResponse({"message": "Internal server error"}, 502)
        except Exception:
            logger.exception("The function failed.")
            return JSONResponse({"message": "Internal server error"}, 502)
        response = Response(body, status)
        # AWS computes the length, except of an answer to HEAD, and leaves hop-by-hop headers out.
        left_out = HOP_BY_HOP if method == "HEAD" else HOP_BY_HOP | {"content-length"}
        pairs = [(name.encode("latin-1"), value.encode()) for name, value in headers if name not in left_out]
        named = {name for name, _ in pairs}
        response.raw_headers = [pair for pair in response.raw_headers if pair[0] not in named] + pairs
        return response

    def _invoke(self, event: str) -> str:
        """Event and answer pass as JSON, as they do in Lambda: what JSON cannot say fails here too."""
        return json.dumps(self._handler(json.loads(event), LocalContext(self._timeout_s)))


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
