"""What a worker measures: for each case the operation, checked once before it is timed.

Runs on every side, with whatever `mangum` that side has, which is therefore imported late: the floor has none.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from dataclasses import dataclass
from itertools import repeat
from time import perf_counter
from typing import TYPE_CHECKING, Any

from benchmarks import edge_floor, payloads
from benchmarks.app import HELLO, HELLO_HEADERS, hello, reading, sending
from benchmarks.events import SOURCES, Context, http_api_post

if TYPE_CHECKING:
    from mangum import Mangum
    from mangum.types import ASGI, Message, Response

__all__ = ["OPERATIONS", "Operation"]


@dataclass(frozen=True)
class Operation:
    """Something to be timed: `run` does it so many times and returns the seconds that took, `close` ends it."""

    run: Callable[[int], float]
    close: Callable[[], None]


class WrongAnswer(Exception):
    """A side did not answer what the application had sent."""


def bare(source: str) -> Operation:
    """The floor of `warm`: the application on a warm loop, with a scope made beforehand and no adapter."""
    loop = asyncio.new_event_loop()
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "https",
        "path": "/hello",
        "raw_path": b"/hello",
        "root_path": "",
        "query_string": b"",
        "headers": [[b"host", b"example.com"]],
        "client": ("203.0.113.17", 0),
        "server": ("example.com", 443),
        "aws.event": SOURCES[source],
    }
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    loop.run_until_complete(hello(scope, receive, send))
    _check(sent[0]["status"], sent[1]["body"], HELLO)

    def run(iterations: int) -> float:
        started = perf_counter()
        for _ in repeat(None, iterations):
            sent.clear()
            loop.run_until_complete(hello(scope, receive, send))
        return perf_counter() - started

    return Operation(run, loop.close)


def warm(source: str, lifespan: str) -> Operation:
    """One invocation of the hello application. `lifespan` is "off", "invocation" or "process"."""
    return _invocations(_adapter(hello, lifespan), SOURCES[source], HELLO)


def response_body(kind: str, size: int) -> Operation:
    """One invocation that answers a body of `size` bytes. `kind` is "text", "unicode" or "binary"."""
    if kind == "binary":
        body, content_type = payloads.binary(size), b"image/png"
    else:
        body, content_type = payloads.text(size, beyond_ascii=kind == "unicode").encode(), b"application/json"
    return _invocations(_adapter(sending(body, content_type), "off"), SOURCES["HTTP API 2.0"], body)


def request_body(kind: str, size: int) -> Operation:
    """One invocation that reads a request's body of `size` bytes. `kind` is "text" or "binary", which comes as
    base64."""
    if kind == "binary":
        body = payloads.binary(size)
        sent, content_type = base64.b64encode(body).decode(), "image/png"
    else:
        sent, content_type = payloads.text(size), "application/json"
        body = sent.encode()
    event = http_api_post(sent, is_base64=kind == "binary", content_type=content_type, content_length=size)
    adapter = _adapter(reading(), "off")
    if adapter.infer(event, Context()).body != body:
        raise WrongAnswer("The body that the handler gives is not the one in the event.")
    return _invocations(adapter, event, b"%d" % size)


def translation(source: str) -> Operation:
    """An event to scope and body, and a response to the answer, without running an application."""
    adapter = _adapter(hello, "off")
    return Operation(_translations(adapter.infer, SOURCES[source]), _closing(adapter))


def edge_translation() -> Operation:
    """The floor of `translation` for Lambda@Edge."""
    return Operation(_translations(edge_floor.infer, SOURCES["Lambda@Edge"]), lambda: None)


def asyncio_group(tasks: int) -> Operation:
    """A task group of asyncio around so many trivial tasks."""

    async def group() -> None:
        async with asyncio.TaskGroup() as task_group:
            for _ in repeat(None, tasks):
                task_group.create_task(_nothing())

    return _coroutines(group)


def anyio_group(tasks: int) -> Operation:
    """A task group of anyio around so many trivial tasks."""
    import anyio

    async def group() -> None:
        async with anyio.create_task_group() as task_group:
            for _ in repeat(None, tasks):
                task_group.start_soon(_nothing)

    return _coroutines(group)


OPERATIONS: dict[str, Callable[..., Operation]] = {
    operation.__name__: operation
    for operation in (
        bare,
        warm,
        response_body,
        request_body,
        translation,
        edge_translation,
        asyncio_group,
        anyio_group,
    )
}


async def _nothing() -> None:
    return


def _coroutines(function: Callable[[], Any]) -> Operation:
    loop = asyncio.new_event_loop()

    async def time(iterations: int) -> float:
        started = perf_counter()
        for _ in repeat(None, iterations):
            await function()
        return perf_counter() - started

    return Operation(lambda iterations: loop.run_until_complete(time(iterations)), loop.close)


def _adapter(app: ASGI, lifespan: str) -> Mangum:
    from mangum import Mangum

    if lifespan == "off":
        return Mangum(app, lifespan="off")
    if lifespan == "process":
        return Mangum(app, lifespan_scope="process")
    return Mangum(app)


def _translations(infer: Callable[[Any, Any], Any], event: dict[str, Any]) -> Callable[[int], float]:
    response: Response = {"status": 200, "headers": HELLO_HEADERS, "body": HELLO}
    handler = infer(event, Context())
    if handler.scope["path"] != "/hello" or handler.scope["method"] != "GET" or handler.body:
        raise WrongAnswer(f"The scope is not the request's: {handler.scope!r}")
    _check_answer(handler(response), HELLO)

    def run(iterations: int) -> float:
        context = Context()
        started = perf_counter()
        for _ in repeat(None, iterations):
            handler = infer(event, context)
            handler.scope  # noqa: B018 # a property that builds it
            handler.body  # noqa: B018
            handler(response)
        return perf_counter() - started

    return run


def _closing(adapter: Mangum) -> Callable[[], None]:
    """mangum 0.22 has nothing to close."""
    close: Callable[[], None] = getattr(adapter, "close", lambda: None)
    return close


def _invocations(adapter: Mangum, event: dict[str, Any], expected: bytes) -> Operation:
    _check_answer(adapter(event, Context()), expected)

    def run(iterations: int) -> float:
        context = Context()
        started = perf_counter()
        for _ in repeat(None, iterations):
            adapter(event, context)
        return perf_counter() - started

    return Operation(run, _closing(adapter))


def _check_answer(answer: dict[str, Any], expected: bytes) -> None:
    """`status` and `bodyEncoding` are Lambda@Edge's, where mangum 0.22 says `isBase64Encoded` all the same."""
    is_base64 = answer.get("isBase64Encoded") or answer.get("bodyEncoding") == "base64"
    body: str = answer["body"]
    _check(
        answer.get("statusCode", answer.get("status")), base64.b64decode(body) if is_base64 else body.encode(), expected
    )


def _check(status: object, body: bytes, expected: bytes) -> None:
    if str(status) != "200":
        raise WrongAnswer(f"The status is {status!r}, not 200: {body[:200]!r}")
    if body != expected:
        raise WrongAnswer(f"The body is {body[:200]!r} ({len(body)} bytes), not {expected[:200]!r} ({len(expected)}).")
