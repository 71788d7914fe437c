"""HTTP requests: each becomes an event, the function's answer a response."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from typing import Any

from mangum.local.answers import HTTPResponse, MalformedAnswer
from mangum.local.fronts import FrontDoor
from mangum.local.function import EventTooLarge, FunctionFailed
from mangum.local.invocations import Invocation, Journal
from mangum.local.requests import HOP_BY_HOP, HTTPRequest
from mangum.local.service import LambdaService
from mangum.protocols.http import request_line
from mangum.types import Receive, Scope, Send

__all__ = ["HTTPFront"]

logger = logging.getLogger("mangum.local")

_WITHOUT_BODY = (204, 304)


class HTTPFront:
    """A front door of AWS as an ASGI application. `report` is given a line about each request."""

    def __init__(
        self, door: FrontDoor, service: LambdaService, journal: Journal, report: Callable[[str], None]
    ) -> None:
        self._door = door
        self._service = service
        self._journal = journal
        self._report = report

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begin = time.perf_counter()
        request = _request_of(scope)
        response = self._door.refusal(request)
        if response is None:
            body = await _read_body(request, receive, self._door.most_request_bytes)
            if body is None:
                return  # nobody is there any more
            response = self._door.too_large() if ... else await self._invoke(request, request_line(scope))
        self._report(f"{request_line(scope)} {response[0]} {(time.perf_counter() - begin) * 1000:.1f} ms")
        await _send(response, request.method, send)
