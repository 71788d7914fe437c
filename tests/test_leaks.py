"""Ten thousand invocations leave nothing behind."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
from typing import Any

import pytest

from mangum import Mangum
from mangum.local.events.requests import HTTPRequest
from mangum.types import Receive, Scope, Send
from tests.apps import Context, WithLifespan, respond
from tests.sources import BY_NAME

INVOCATIONS = 10_000
EVENT = BY_NAME["http-api-2.0"].event(HTTPRequest(method="POST", path="/", body=b"x"))


def file_descriptors() -> int:
    folder = "/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"
    return len(os.listdir(folder))


@pytest.mark.parametrize(
    "arguments", [{"lifespan": "off"}, {}, {"lifespan_scope": "process"}], ids=["off", "default", "process"]
)
def test_nothing_is_left(arguments: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "mangum")
    tasks: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/count":
            tasks.append(len(asyncio.all_tasks()))
        await respond(send)

    count = BY_NAME["http-api-2.0"].event(HTTPRequest(method="GET", path="/count"))
    recorded = WithLifespan(app)
    with Mangum(recorded, **arguments) as handler:

        def census() -> tuple[int, int, int]:
            handler(count, Context())
            recorded.log.clear()
            gc.collect()
            return tasks.pop(), file_descriptors(), len(gc.get_objects())

        for _ in range(100):
            handler(EVENT, Context())
        before = census()
        blocks = sys.getallocatedblocks()
        for _ in range(INVOCATIONS):
            handler(EVENT, Context())
        after = census()
        assert after[:2] == before[:2]
        assert after[2] - before[2] < 50
        assert sys.getallocatedblocks() - blocks < 500
