"""The gateway of `mangum dev` on the loop of a test, with its WebSocket API before a function of the test's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from mangum.local.events.requests import DEFAULT
from mangum.local.fronts import front_door
from mangum.local.gateway import Gateway
from mangum.local.http_front import HTTPFront
from mangum.local.invocations import Journal
from mangum.local.server import Server, listen
from mangum.local.service import LambdaService
from mangum.local.websockets.api import WebSocketAPI
from mangum.local.websockets.management import ConnectionsAPI
from mangum.local.websockets.settings import WebSocketSettings
from tests.local_function import Answering

__all__ = ["LocalGateway", "local_gateway"]


class LocalGateway:
    """What it was asked, what it reports, and where it is."""

    def __init__(self, answer: Callable[[dict[str, Any]], Awaitable[Any]]) -> None:
        self.events: list[dict[str, Any]] = []
        self.lines: list[str] = []
        self.journal = Journal()
        self.port = 0
        self.api: WebSocketAPI
        self.server: Server
        self._answer = answer
        self._came = asyncio.Condition()

    @property
    def websocket_url(self) -> str:
        """Of the API's stage."""
        return f"ws://127.0.0.1:{self.port}/dev"

    @property
    def url(self) -> str:
        """The same for `@connections`."""
        return f"http://127.0.0.1:{self.port}/dev"

    async def handle(self, event: dict[str, Any]) -> Any:
        """The function."""
        async with self._came:
            self.events.append(event)
            self._came.notify_all()
        return await self._answer(event)

    async def event(self, event_type: str, count: int = 1) -> dict[str, Any]:
        """The first event of that type, or the `count`th, as soon as it has come."""
        async with asyncio.timeout(20), self._came:
            await self._came.wait_for(lambda: len(self.of_type(event_type)) >= count)
        return self.of_type(event_type)[count - 1]

    def of_type(self, event_type: str) -> list[dict[str, Any]]:
        """The events of that type that have come."""
        return [event for event in self.events if event["requestContext"].get("eventType") == event_type]


@asynccontextmanager
async def local_gateway(
    answer: Callable[[dict[str, Any]], Awaitable[Any]], **settings: Any
) -> AsyncIterator[LocalGateway]:
    """Serve from here to the end. `settings` are those of the WebSocket API."""
    gateway = LocalGateway(answer)
    function = Answering(gateway.handle)
    with listen("127.0.0.1", 0) as listener:
        gateway.port = listener.getsockname()[1]
        own = WebSocketSettings(domain=f"127.0.0.1:{gateway.port}", **settings)
        async with function, LambdaService(function) as service:
            gateway.api = WebSocketAPI(own, service, gateway.journal, gateway.lines.append)
            http = HTTPFront(front_door("http-api", DEFAULT), service, gateway.journal, gateway.lines.append)
            server = gateway.server = Server(Gateway(http, gateway.api, ConnectionsAPI(own, gateway.api), None))
            async with asyncio.TaskGroup() as group:
                serving = group.create_task(server.serve(sockets=[listener]))
                try:
                    yield gateway
                finally:
                    server.should_exit = True
                    await serving
