"""A front door of AWS on this machine: each request becomes an event, the handler's answer a response."""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mangum.local.answers import ANSWER_READERS, MalformedAnswer
from mangum.local.context import LocalContext
from mangum.local.events import EVENT_BUILDERS
from mangum.local.requests import HTTPRequest

__all__ = ["Gateway"]

logger = logging.getLogger("mangum.local")

_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


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
        self.app = Starlette(routes=[Route("/{path:path}", self._serve, methods=_METHODS)], lifespan=self._keep_handler)

    @contextlib.asynccontextmanager
    async def _keep_handler(self, app: Starlette) -> AsyncIterator[None]:
        """Start a `Mangum` as in Lambda's init phase, and close it with the server."""
        for step in ("start", "close"):
            method = getattr(self._handler, step, None)
            if callable(method):
                await to_thread.run_sync(method, limiter=self._sandbox)
            if step == "start":
                yield

    async def _serve(self, request: Request) -> Response:
        begin = time.perf_counter()
        event = self._build_event(await _read_request(request))
        response = await self._answer(event)
        duration_ms = (time.perf_counter() - begin) * 1000
        self._report(f"{request.method} {request.url.path} {response.status_code} {duration_ms:.1f} ms")
        return response

    async def _answer(self, event: dict[str, Any]) -> Response:
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
        names = {name for name, _ in headers}
        kept = [pair for pair in response.raw_headers if pair[0].decode() not in names]
        response.raw_headers = kept + [
            (name.encode("latin-1"), value.encode()) for name, value in headers if name != "transfer-encoding"
        ]
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
