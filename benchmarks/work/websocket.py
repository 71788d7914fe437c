"""WebSocket events: a message from the store to the client, and a broadcast. Runs on every side."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
import time
from time import perf_counter
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from benchmarks.work.events import Context
from benchmarks.work.operations import Operation, WrongAnswer, each, each_invocation

if TYPE_CHECKING:
    from mangum import Mangum
    from mangum.types import Receive, Scope, Send

__all__ = [
    "REGION",
    "bare_posts",
    "blocking_posts",
    "broadcast",
    "fill_group",
    "first_message",
    "peak_resident_bytes",
    "websocket_message",
]

REGION = "us-east-1"  # where S3 lets mangum 0.12 create a bucket
_ID = "L0SM9cOFvHcCIhw="
_GROUP = "everybody"
_TEXT = "Hello, world!"
_HEADERS = {
    "Host": "k7s4w9w1zh.execute-api.eu-west-1.amazonaws.com",
    "Origin": "https://example.com",
    "Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits",
    "Sec-WebSocket-Key": "R5xXz2b0Zc1vW8rN3m6kPg==",
    "Sec-WebSocket-Version": "13",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/136.0.0.0",
    "X-Amzn-Trace-Id": "Root=1-67f1c2a4-3b5d7e9f1a2b3c4d5e6f7a8b",
    "X-Forwarded-For": "203.0.113.17",
    "X-Forwarded-Port": "443",
    "X-Forwarded-Proto": "https",
}


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers each message with one. Versions of mangum before 1.0 send a disconnect after the answer."""
    while True:
        message = await receive()
        if message["type"] == "websocket.connect":
            await send({"type": "websocket.accept"})
        elif message["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})
        else:
            return


def websocket_message(dsn: str, url: str, *, old: bool = False) -> Operation:
    """One MESSAGE event: the connection is loaded from the store, and the answer posted to the endpoint at `url`. `old`
    is for mangum 0.12."""
    adapter = _adapter(dsn, url, old=old)
    if adapter(_event("CONNECT"), Context())["statusCode"] != 200:
        raise WrongAnswer("The connection was not accepted.")
    before = _count(url)
    _check_message(adapter)
    if _count(url) != before + 2:  # the first question counts too
        raise WrongAnswer("The answer did not arrive at the endpoint once.")
    message = _event("MESSAGE")

    return Operation(each_invocation(adapter, message), getattr(adapter, "close", lambda: None))


def first_message(dsn: str, url: str, *, old: bool = False) -> None:
    """The first event of a fresh process: a MESSAGE of a connection that is in the store already."""
    _check_message(_adapter(dsn, url, old=old))


def fill_group(dsn: str, url: str, members: int) -> None:
    """Have so many connections join a group, for `broadcast` in another process, whose memory counts."""
    from mangum.backends.store import Store
    from mangum.websocket.records import Address

    async def join() -> None:
        store = Store.of(dsn)
        target = Address(url, time.time())
        for index in range(members):
            await store.join(_GROUP, target.as_member(_member(index)))
        await store.close()

    asyncio.run(join())


def broadcast(dsn: str, url: str, members: int) -> Operation:
    """A message to each of so many connections, which `fill_group` has made; an iteration is one of them."""
    adapter = _adapter(dsn, url)
    adapter.start()

    def run(iterations: int) -> float:
        started = perf_counter()
        result = adapter.run(adapter.connections.broadcast, _GROUP, _TEXT)
        seconds = perf_counter() - started
        if result.sent != members:
            raise WrongAnswer(f"The broadcast did not reach all {members:,}: {result}")
        return seconds / members * iterations

    return Operation(run, adapter.close)


def blocking_posts(url: str) -> Operation:
    """One post after the other with boto3's client."""
    import boto3

    _set_credentials()
    client = boto3.client("apigatewaymanagementapi", endpoint_url=url, region_name=REGION)

    def run(iterations: int) -> float:
        started = perf_counter()
        for index in range(iterations):
            client.post_to_connection(ConnectionId=_member(index), Data=_TEXT.encode())
        return perf_counter() - started

    return Operation(run, client.close)


def bare_posts(url: str) -> Operation:
    """The floor: one request after the other to the endpoint, over a connection that is kept, with no signature."""
    from http.client import HTTPConnection  # here, since a fresh process is timed with what it imports

    connection = HTTPConnection(urlsplit(url).netloc, timeout=10)
    path = f"{urlsplit(url).path}/@connections/{_ID}"

    def post() -> None:
        connection.request("POST", path, _TEXT.encode())
        connection.getresponse().read()

    return Operation(each(post), connection.close)


def peak_resident_bytes() -> int:
    """The most memory that this process has had so far."""
    try:  # getrusage tells the peak of the parent too, from before the exec
        with open("/proc/self/status", encoding="ascii") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))
    except FileNotFoundError:
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _adapter(dsn: str, url: str, *, old: bool = False) -> Mangum:
    _set_credentials()
    from mangum import Mangum

    if old:  # it takes the thread's event loop, and wants the endpoint's whole path
        asyncio.set_event_loop(asyncio.new_event_loop())
        url = f"{url}/@connections"
    return Mangum(echo, lifespan="off", dsn=dsn, api_gateway_endpoint_url=url, api_gateway_region_name=REGION)


def _set_credentials() -> None:
    """Of nobody: nothing here goes to AWS."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        os.environ[name] = "testing"
    os.environ["AWS_REGION"] = os.environ["AWS_DEFAULT_REGION"] = REGION


def _check_message(adapter: Mangum) -> None:
    answer = adapter(_event("MESSAGE"), Context())
    if answer["statusCode"] != 200:
        raise WrongAnswer(f"The answer to a message was {answer!r}.")


def _member(index: int) -> str:
    return f"L0SM9cOFvHc{index:05}="


def _count(url: str) -> int:
    """How many requests the endpoint has had."""
    from urllib.request import urlopen

    root = url.rpartition("/")[0]
    with urlopen(f"{root}/count", timeout=10) as response:
        return int(response.read())


def _event(event_type: str) -> dict[str, Any]:
    request = {
        "eventType": event_type,
        "routeKey": "$connect" if event_type == "CONNECT" else "$default",
        "connectionId": _ID,
        "connectedAt": 1_783_000_000_000,
        "requestId": "HXeGmFOyDoEEBiA=",
        "extendedRequestId": "HXeGmFOyDoEEBiA=",
        "messageDirection": "IN",
        "apiId": "k7s4w9w1zh",
        "stage": "prod",
        "domainName": _HEADERS["Host"],
        "identity": {"sourceIp": "203.0.113.17", "userAgent": _HEADERS["User-Agent"]},
    }
    event: dict[str, Any] = {"requestContext": request, "isBase64Encoded": False}
    if event_type == "CONNECT":
        event["headers"] = dict(_HEADERS)
        event["multiValueHeaders"] = {name: [value] for name, value in _HEADERS.items()}
    else:
        event["body"] = _TEXT
    return event


if __name__ == "__main__":
    first_message(*sys.argv[1:3], old=sys.argv[3:] == ["old"])
    sys.stdout.write("answered\n")
