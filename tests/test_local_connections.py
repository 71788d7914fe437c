"""`@connections` of `mangum dev`, asked by AWS's own clients."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import anyio.to_thread
import boto3
import httpx
import pytest
from aiobotocore.session import AioSession
from botocore.config import Config
from botocore.exceptions import ClientError
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosedOK

from mangum.local.websockets import connection as connection_module
from tests.local_gateway import LocalGateway, local_gateway
from tests.test_local_websockets import OK, accept

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("aws_environment")]

_CONFIG = Config(retries={"total_max_attempts": 1}, read_timeout=20)


class Opened:
    """A gateway, a client that is connected to it, and boto3's client."""

    def __init__(self, gateway: LocalGateway, client: ClientConnection) -> None:
        self.gateway = gateway
        self.client = client
        (self.connection,) = gateway.api.connections
        self.connection_id = self.connection.connection_id

    async def boto3(self, operation: str, *, url: str | None = None, **parameters: Any) -> dict[str, Any]:
        """A call, in a thread."""
        client = boto3.client(
            "apigatewaymanagementapi", endpoint_url=url or self.gateway.url, region_name="eu-west-1", config=_CONFIG
        )
        parameters = {"ConnectionId": self.connection_id} | parameters
        response: dict[str, Any] = await anyio.to_thread.run_sync(lambda: getattr(client, operation)(**parameters))
        return response

    async def refused(self, operation: str, **parameters: Any) -> tuple[int, str]:
        """The status and the type of an error."""
        with pytest.raises(ClientError) as caught:
            await self.boto3(operation, **parameters)
        response = caught.value.response
        return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]


@asynccontextmanager
async def opened(answer: Callable[[dict[str, Any]], Any] = accept) -> AsyncIterator[Opened]:
    async with local_gateway(answer) as gateway, connect(gateway.websocket_url, user_agent_header="test") as client:
        await gateway.event("CONNECT")
        yield Opened(gateway, client)


@pytest.fixture
async def one() -> AsyncIterator[Opened]:
    async with opened() as one:
        yield one


async def test_post(one: Opened) -> None:
    await one.boto3("post_to_connection", Data=b"hello")
    assert await one.client.recv() == "hello"
    await one.boto3("post_to_connection", Data="héllo".encode(), url=f"http://127.0.0.1:{one.gateway.port}")
    assert await one.client.recv() == "héllo"
    await one.boto3("post_to_connection", Data=b"x" * 131_072)
    assert await one.client.recv() == "x" * 131_072
    assert one.gateway.of_type("MESSAGE") == []


async def test_get(one: Opened) -> None:
    before = await one.boto3("get_connection")
    assert before["Identity"] == {"SourceIp": "127.0.0.1", "UserAgent": "test"}
    assert abs(before["ConnectedAt"].timestamp() - time.time()) < 60
    await one.client.send("x")
    await one.gateway.event("MESSAGE")
    after = await one.boto3("get_connection")
    assert after["ConnectedAt"] == before["ConnectedAt"]
    assert after["LastActiveAt"] > before["LastActiveAt"]


async def test_delete(one: Opened) -> None:
    await one.boto3("delete_connection")
    with pytest.raises(ConnectionClosedOK):
        await one.client.recv()
    assert (one.client.close_code, one.client.close_reason) == (1000, "")
    context = (await one.gateway.event("DISCONNECT"))["requestContext"]
    assert (context["connectionId"], context["disconnectStatusCode"]) == (one.connection_id, 1000)


async def test_what_waits_comes_before_the_end(one: Opened) -> None:
    for number in range(50):
        one.connection.post(str(number))
    await one.boto3("delete_connection")
    assert [message async for message in one.client] == [str(number) for number in range(50)]


async def test_aiobotocore(one: Opened) -> None:
    async with AioSession().create_client(
        "apigatewaymanagementapi", endpoint_url=one.gateway.url, region_name="eu-west-1", config=None
    ) as client:
        await client.post_to_connection(ConnectionId=one.connection_id, Data=b"hello")
        assert await one.client.recv() == "hello"
        assert (await client.get_connection(ConnectionId=one.connection_id))["Identity"]["UserAgent"] == "test"
        await client.delete_connection(ConnectionId=one.connection_id)
        await one.gateway.event("DISCONNECT")
        with pytest.raises(client.exceptions.GoneException):
            await client.get_connection(ConnectionId=one.connection_id)


@pytest.mark.parametrize("operation", ["post_to_connection", "get_connection", "delete_connection"])
async def test_a_connection_that_is_not_there(one: Opened, operation: str) -> None:
    data = {"Data": b"x"} if operation == "post_to_connection" else {}
    assert await one.refused(operation, ConnectionId="L0SM9cOFvHcCIhw=", **data) == (410, "GoneException")
    assert await one.refused(operation, ConnectionId="no id", **data) == (400, "BadRequestException")
    assert await one.refused(operation, ConnectionId="a/b", **data) == (400, "BadRequestException")
    wrong = f"http://127.0.0.1:{one.gateway.port}/prod"
    assert await one.refused(operation, url=wrong, **data) == (403, "ForbiddenException")


async def test_messages_that_are_too_large(one: Opened) -> None:
    assert await one.refused("post_to_connection", Data=b"x" * 131_073) == (413, "PayloadTooLargeException")


async def test_a_client_that_does_not_read(one: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "_MOST_BUFFERED", 2)
    assert await one.refused("post_to_connection", Data=b"xyz") == (429, "LimitExceededException")


async def test_a_connection_is_not_there_before_its_handshake_is_answered() -> None:
    statuses: list[int] = []

    async def post(event: dict[str, Any]) -> Any:
        context = event["requestContext"]
        url = f"http://{context['domainName']}/{context['stage']}/@connections/{quote(context['connectionId'])}"
        async with httpx.AsyncClient() as client:
            statuses.append((await client.post(url, content=b"x")).status_code)
        return OK

    async with opened(post) as one:
        assert statuses == [410]
        await one.client.send("x")
        assert await one.client.recv() == "x"


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({"host": "attacker.example"}, "This answers to localhost"),
        ({"origin": "http://127.0.0.1"}, "for programs, not for pages"),
        ({"sec-fetch-site": "same-origin"}, "for programs, not for pages"),
    ],
)
async def test_who_may_not_ask(one: Opened, headers: dict[str, str], why: str) -> None:
    async with httpx.AsyncClient() as client:
        response = await client.post(f"{one.gateway.url}/@connections/{one.connection_id}", headers=headers)
    assert (response.status_code, response.headers["x-amzn-errortype"]) == (403, "ForbiddenException")
    assert why in response.json()["message"]


async def test_other_methods(one: Opened) -> None:
    async with httpx.AsyncClient() as client:
        response = await client.put(f"{one.gateway.url}/%40connections/{quote(one.connection_id)}")
        assert (response.status_code, response.json()) == (403, {"message": "Missing Authentication Token"})
        # What is none of the management API's is the front door's.
        assert (await client.get(f"{one.gateway.url}/@connections")).status_code == 200


async def test_a_caller_that_goes(one: Opened) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", one.gateway.port)
    writer.write(
        f"POST /@connections/{one.connection_id} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\n\r\nhel".encode()
    )
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    await one.boto3("post_to_connection", Data=b"all of it")
    assert await one.client.recv() == "all of it"
