"""Mutated events of every source, given to odd applications: `python -m tests.fuzz --events 1000000`.

Whatever comes in, the handler returns an answer that its source understands, or raises an error of mangum's. Nothing
stays behind: no task, no thread, no descriptor.
"""

from __future__ import annotations

import argparse
import asyncio
import copy
import json
import logging
import os
import random
import re
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mangum import Mangum
from mangum.exceptions import MangumError
from mangum.local.events import websocket
from mangum.local.events.requests import HTTPRequest
from mangum.types import ASGI, Receive, Scope, Send
from tests.apps import Context
from tests.servers.connections import endpoint_process
from tests.sources import FRONT_DOORS

__all__ = ["Fault", "Fuzzer"]

_RECORDED = Path(__file__).parent / "events"
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_REQUEST = HTTPRequest(
    method="POST",
    path="/a%20b/%C3%A9",
    query_string="q=1&q=2&e=%C3%A9+",
    headers=(("Host", "example.org:8443"), ("Cookie", "a=1; b=2"), ("Content-Type", "text/plain")),
    body=b"body",
)
_TEXTS = (
    "",
    "/",
    "//",
    "GET",
    "\ud800",
    "\x00",
    "a\r\nb: c",
    "%",
    "%ff%00",
    "é",
    "\U0001f600" * 3,
    "x" * 5_000,
    "2.0",
    "CONNECT",
    "[::1]:99999",
    "aGVsbG8",
    "!!!",
    "1" * 400,
)
_VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    7,
    10**400,
    1.5,
    1e308,
    [],
    {},
    [None],
    [[]],
    {"a": 1},
    ["a", 1],
    {"": ""},
)
_DEPTH = 200


class Fault(Exception):
    """What should not have happened; the message has the event and the application."""


# Applications


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [[b"content-type", b"text/plain"]]})
    await send({"type": "http.response.body", "body": b"hello"})


async def echoes(scope: Scope, receive: Receive, send: Send) -> None:
    """What the client sent, as header and as body."""
    body = (await receive()).get("body", b"")
    await send({"type": "http.response.start", "status": 200, "headers": [[b"x-path", scope["path"].encode()]]})
    await send({"type": "http.response.body", "body": body})


async def says_nothing(scope: Scope, receive: Receive, send: Send) -> None: ...


async def raises(scope: Scope, receive: Receive, send: Send) -> None:
    raise ValueError(scope["path"])


async def raises_in_between(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"begun", "more_body": True})
    raise RuntimeError("lost\r\nin between")


async def sends_twice(scope: Scope, receive: Receive, send: Send) -> None:
    for _ in range(2):
        await hello(scope, receive, send)


async def asks_for_more(scope: Scope, receive: Receive, send: Send) -> None:
    await hello(scope, receive, send)
    assert (await receive())["type"] == "http.disconnect"


async def spawns(scope: Scope, receive: Receive, send: Send) -> None:
    group = await scope["aws.task_group"]()
    group.start_soon(asyncio.sleep, 0)
    await hello(scope, receive, send)


async def cancels_itself(scope: Scope, receive: Receive, send: Send) -> None:
    await hello(scope, receive, send)
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


def odd_response(random_: random.Random) -> ASGI:
    """An application with a response that a server refuses, or nearly."""
    status = random_.choice((200, 204, 304, 404, 500, 599, 0, 99, 600, -1, 10**9, True, "200", None, 199, 101))
    header = random_.choice(
        (
            [b"x", b"y"],
            [b"x", b"a\r\nset-cookie: b"],
            [b"x\n", b"y"],
            [b"", b""],
            [b"x\x00", b"\x00"],
            [b"transfer-encoding", b"chunked"],
            [b"content-length", b"-1"],
            [b"x", b"\xff\xfe"],
            ["x", "y"],
            [b"x"],
            None,
            [b"set-cookie", b"a=1"],
        )
    )
    body = random_.choice((b"", b"text", b"\xff\x00", b"x" * 10_000, bytearray(b"array"), "text", None, 5))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": [header] * random_.randrange(3)})
        await send({"type": "http.response.body", "body": body})

    return app


async def with_lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
    else:
        await hello(scope, receive, send)


def without_lifespan(app: ASGI) -> ASGI:
    async def http_only(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            raise NotImplementedError
        await app(scope, receive, send)

    return http_only


async def talks(scope: Scope, receive: Receive, send: Send) -> None:
    """An echo for WebSocket connections."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "welcome"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message.get("text") or "bytes"})
    else:
        await hello(scope, receive, send)


_APPS: tuple[ASGI, ...] = (
    hello,
    echoes,
    says_nothing,
    raises,
    raises_in_between,
    sends_twice,
    asks_for_more,
    spawns,
    cancels_itself,
    talks,
)


# Events


def _seeds() -> list[Any]:
    seeds: list[Any] = [door.event(_REQUEST) for door in FRONT_DOORS]
    seeds += [json.loads(path.read_text()) for path in sorted(_RECORDED.glob("*/*.json"))]
    return seeds


def _websocket_seeds() -> list[Any]:
    seeds: list[Any] = []
    for connection_id in ("abc=", "def="):
        client = websocket.Client(
            connection_id=connection_id,
            connected_at_ms=1_700_000_000_000,
            domain="example.org",
            stage="live",
            source_ip="192.0.2.1",
            user_agent=None,
        )
        seeds += [
            websocket.connect(client, _REQUEST),
            websocket.message(client, websocket.DEFAULT_ROUTE, "text"),
            websocket.message(client, websocket.DEFAULT_ROUTE, b"bytes"),
            websocket.disconnect(client, 1000, "bye"),
        ]
    return seeds


def _mutated(event: Any, random_: random.Random) -> Any:
    event = copy.deepcopy(event)
    for _ in range(random_.choice((0, 1, 1, 1, 2, 3, 8))):
        event = _mutate(event, random_)
    return event


def _mutate(event: Any, random_: random.Random) -> Any:
    if not isinstance(event, dict | list) or not event:
        return _value(random_)
    places = list(_places(event))
    parent, key = random_.choice(places)
    kind = random_.randrange(6)
    if kind == 0:
        del parent[key]
    elif kind == 1:
        other, other_key = random_.choice(places)
        parent[key] = copy.deepcopy(other[other_key])
    elif kind == 2 and isinstance(parent[key], str):
        text = parent[key]
        at = random_.randrange(len(text) + 1)
        parent[key] = text[:at] + random_.choice(_TEXTS) + text[at + random_.randrange(3) :]
    elif kind == 3 and isinstance(parent, dict):
        parent[random_.choice(_TEXTS)] = _value(random_)
    else:
        parent[key] = _value(random_)
    return event


def _value(random_: random.Random) -> Any:
    kind = random_.randrange(8)
    if kind == 0:
        nested: Any = "x"
        for _ in range(random_.randrange(_DEPTH)):
            nested = [nested] if random_.random() < 0.5 else {"a": nested}
        return nested
    return copy.deepcopy(random_.choice(_VALUES)) if kind < 4 else random_.choice(_TEXTS)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each container with each of its keys."""
    waiting = [value]
    while waiting:
        parent = waiting.pop()
        items = parent.items() if isinstance(parent, dict) else enumerate(parent)
        for key, item in items:
            yield parent, key
            if isinstance(item, dict | list):
                waiting.append(item)


# What has to hold


def _check_answer(answer: Any) -> None:
    json.dumps(answer, allow_nan=False)
    if not isinstance(answer, dict) or not answer.keys() & {"statusCode", "status"}:
        return  # of an event that was POSTed, or of a WebSocket's
    status: Any = answer.get("statusCode", answer.get("status"))
    assert type(status) in (int, str), f"status {status!r}"
    assert 200 <= int(status) <= 599, f"status {status!r}"
    assert isinstance(answer.get("body", ""), str), "the body is no text"
    for name, value in _headers(answer):
        assert _TOKEN(name), f"header name {name!r}"
        assert not re.search(r"[\r\n\x00]", value), f"the value of {name}"


def _headers(answer: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for field in ("headers", "multiValueHeaders"):
        for name, value in (answer.get(field) or {}).items():
            for each in value if isinstance(value, list) else [value]:
                yield name, each["value"] if isinstance(each, dict) else each
    yield from (("set-cookie", cookie) for cookie in answer.get("cookies") or ())


class Fuzzer:
    """Adapters of several configurations, and events for them; `seed` decides all of it."""

    def __init__(self, seed: int, endpoint_url: str) -> None:
        self.outcomes: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._seeds = _seeds()
        self._websocket_seeds = _websocket_seeds()
        self._endpoint_url = endpoint_url
        self._rest: tuple[int, int, int] | None = None

    def run(self, events: int) -> None:
        """Give so many events to adapters.

        Raises:
            Fault: something else came out than may.
        """
        left = events
        while left > 0:
            batch = min(left, 100)  # for one adapter
            left -= batch
            arguments = self._arguments()
            app = self._app()
            with Mangum(app, **arguments) as handler:
                for _ in range(batch):
                    self._give_one(handler, app, arguments)
        self._check_leftovers()

    def _app(self) -> ASGI:
        choose = self._random.choice
        app = choose((*_APPS, odd_response(self._random), odd_response(self._random), with_lifespan))
        return choose((app, without_lifespan(app), without_lifespan(app)))

    def _arguments(self) -> dict[str, Any]:
        choose = self._random.choice
        arguments: dict[str, Any] = {
            "lifespan": choose(("auto", "off")),
            "lifespan_scope": choose(("invocation", "process")),
            **choose(({}, {"root_path": "auto"}, {"root_path": "/api"}, {"api_gateway_base_path": "/a"})),
            **choose(({}, {"event_path": "/_aws/events"})),
            **choose(({}, {"exclude_headers": ["x"]}, {"text_mime_types": ["application/x"]})),
        }
        if self._random.random() < 0.2:
            arguments |= {"dsn": "sqlite://:memory:", "api_gateway_endpoint_url": self._endpoint_url}
        return arguments

    def _give_one(self, handler: Mangum, app: Callable[..., Any], arguments: dict[str, Any]) -> None:
        seeds = self._seeds
        if "dsn" in arguments and self._random.random() < 0.7:
            seeds = self._websocket_seeds
        event = _mutated(self._random.choice(seeds), self._random)
        context = self._random.choice((None, Context(30_000), Context(60_000)))
        try:
            answer = handler(event, context)
            _check_answer(answer)
            self.outcomes["answered"] += 1
        except MangumError as error:
            str(error).encode()
            self.outcomes[type(error).__name__] += 1
        except BaseException as error:
            raise Fault(
                f"{getattr(app, '__qualname__', app)} with {arguments}\n{json.dumps(event)[:20_000]}\n"
                + "".join(traceback.format_exception(error))
            ) from error

    def _check_leftovers(self) -> None:
        """No task, thread or descriptor more than after the first run."""

        async def count() -> int:
            return len(asyncio.all_tasks())

        with Mangum(hello, lifespan="off") as handler:
            tasks = handler.run(count)
        rest = tasks, threading.active_count(), len(os.listdir("/proc/self/fd"))
        if self._rest is None:
            self._rest = rest
        elif any(now > before for now, before in zip(rest, self._rest, strict=True)):
            raise Fault(f"tasks, threads and descriptors were {self._rest}, and are {rest}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    print(f"seed {options.seed}", flush=True)  # noqa: T201
    with endpoint_process() as url:
        fuzzer = Fuzzer(options.seed, url)
        done = 0
        while done < options.events:
            batch = min(10_000, options.events - done)
            try:
                fuzzer.run(batch)
            except Fault as fault:
                print(f"After {done:,} to {done + batch:,} events:\n{fault}")  # noqa: T201
                return 1
            done += batch
            print(f"{done:,} events: {dict(fuzzer.outcomes)}", flush=True)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
