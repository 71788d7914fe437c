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

from benchmarks.work import floors, payloads
from benchmarks.work.app import HELLO, HELLO_HEADERS, hello, reading, sending, with_state
from benchmarks.work.events import SOURCES, Context, http_api_post
from benchmarks.work.functions import FASTAPI_5, FASTAPI_DEF, MANGUM_FUNCTIONS, load

if TYPE_CHECKING:
    from mangum import Mangum
    from mangum.types import ASGI, Message, Response

__all__ = ["OPERATIONS", "Operation", "WrongAnswer", "check_answer", "each", "each_invocation"]


@dataclass(frozen=True)
class Operation:
    """Something to be timed: `run` does it so many times and returns the seconds that took, `close` ends it."""

    run: Callable[[int], float]
    close: Callable[[], None]


def each(once: Callable[[], object]) -> Callable[[int], float]:
    """The `run` of an operation that is a call without arguments."""

    def run(iterations: int) -> float:
        started = perf_counter()
        for _ in repeat(None, iterations):
            once()
        return perf_counter() - started

    return run


def each_invocation(handler: Callable[[Any, Any], object], event: dict[str, Any]) -> Callable[[int], float]:
    """The `run` of an operation that is a call of a Lambda handler."""

    def run(iterations: int) -> float:
        context = Context()
        started = perf_counter()
        for _ in repeat(None, iterations):
            handler(event, context)
        return perf_counter() - started

    return run


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


def warm_fastapi(lifespan: str) -> Operation:
    """One invocation of FastAPI, by one route of five. `lifespan` as in `warm`."""
    return _invocations(_adapter(load(MANGUM_FUNCTIONS[FASTAPI_5])["app"], lifespan), SOURCES["HTTP API 2.0"], HELLO)


def warm_fastapi_def(lifespan: str) -> Operation:
    """The same, by an endpoint that a worker thread runs."""
    return _invocations(_adapter(load(FASTAPI_DEF)["app"], lifespan), SOURCES["HTTP API 2.0"], HELLO)


def warm_state(entries: int, lifespan: str) -> Operation:
    """One invocation of an application whose lifespan has left so many entries in the state."""
    return _invocations(_adapter(with_state(entries), lifespan), SOURCES["HTTP API 2.0"], HELLO)


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


def translation_floor(source: str) -> Operation:
    """The floor of `translation`: the least that any adapter has to do for this event."""
    return Operation(_translations(floors.infer_of(source), SOURCES[source]), lambda: None)


def body_floor(way: str, kind: str, size: int) -> Operation:
    """The floor of `way`, which is "request_body" or "response_body": the application on a warm loop, and the one
    conversion that Lambda's JSON asks for."""
    body = payloads.binary(size) if kind == "binary" else payloads.text(size, beyond_ascii=kind == "unicode").encode()
    convert = floors.body_in(kind, body) if way == "request_body" else floors.body_out(kind)
    loop = asyncio.new_event_loop()
    app = reading() if way == "request_body" else sending(body, b"text/plain")
    expected = b"%d" % size if way == "request_body" else body
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": convert(b""), "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    def once() -> None:
        sent.clear()
        loop.run_until_complete(app({"type": "http"}, receive, send))
        if way == "response_body":
            convert(sent[1]["body"])

    once()
    _check(sent[0]["status"], sent[1]["body"], expected)
    return Operation(each(once), loop.close)


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
        warm_fastapi,
        warm_fastapi_def,
        warm_state,
        response_body,
        request_body,
        translation,
        translation_floor,
        body_floor,
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
    check_answer(handler(response), HELLO)

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
    check_answer(adapter(event, Context()), expected)
    return Operation(each_invocation(adapter, event), _closing(adapter))


def check_answer(answer: dict[str, Any], expected: bytes) -> None:
    """Make sure that it has status 200 and this body. `status` and `bodyEncoding` are Lambda@Edge's, where mangum 0.22
    says `isBase64Encoded` all the same.

    Raises:
        WrongAnswer: it has not.
    """
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
