"""Whom the gateway of `mangum dev` answers: names of this machine, and those that the developer allows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from mangum.exceptions import ConfigurationError
from mangum.local.gateway import Gateway
from mangum.local.hosts import AllowedHosts
from mangum.local.websockets.api import WebSocketAPI
from mangum.local.websockets.management import ConnectionsAPI
from tests.command_line import run
from tests.dev_server import serving
from tests.local_gateway import local_gateway

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        *[("localhost", True), ("LocalHost:8000", True), ("localhost.", True), ("app.localhost:80", True)],
        *[("127.0.0.1:8000", True), ("[::1]:8000", True), ("[::1]", True)],
        *[
            ("evil.example", False),
            ("localhost.evil.example", False),
            ("127.0.0.1.nip.io", False),
            ("xlocalhost", False),
        ],
        *[("", False), ("localhost:x", False), ("user@localhost", False), ("localhost/", False), ("::1", False)],
        *[("10.0.0.1", False), ("192.168.1.5:8000", False)],
    ],
)
def test_names_of_this_machine(host: str, expected: bool) -> None:
    assert AllowedHosts().include(host, "127.0.0.1") is expected


@pytest.mark.parametrize(
    ("allowed", "host", "expected"),
    [
        ("app.example.com", "app.example.com:8000", True),
        ("App.Example.com.", "APP.example.com", True),
        ("app.example.com", "x.app.example.com", False),
        (".example.com", "example.com", True),
        (".example.com", "a.b.example.com:1", True),
        (".example.com", "notexample.com", False),
        ("192.168.1.5", "192.168.1.5", True),
        ("2001:db8::1", "[2001:db8::1]:80", True),
        ("[2001:db8::1]", "[2001:db8::1]", True),
        ("app.example.com", "localhost", True),
    ],
)
def test_names_that_are_allowed(allowed: str, host: str, expected: bool) -> None:
    assert AllowedHosts([allowed]).include(host, "127.0.0.1") is expected


@pytest.mark.parametrize(
    ("address", "host", "expected"),
    [
        ("192.168.1.5", "192.168.1.5:8000", True),
        ("::ffff:192.168.1.5", "192.168.1.5", True),
        ("10.0.0.1", "10.0.0.2", False),
    ],
)
def test_the_address_that_a_request_came_to(address: str, host: str, expected: bool) -> None:
    assert AllowedHosts().include(host, address) is expected


def test_the_name_that_the_server_listens_on() -> None:
    assert AllowedHosts(own="My-Machine").include("my-machine:8000", "192.168.1.5")


@pytest.mark.parametrize("name", ["", ".", "http://x", "x:80", "*", "a b", "x/y", "..x"])
def test_a_name_that_is_none(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"invalid host .* in --allowed-host: expected a name"):
        AllowedHosts([name])


async def fine(event: dict[str, Any]) -> Any:
    return {"statusCode": 200, "body": "fine"}


async def test_requests_for_other_hosts(caplog: pytest.LogCaptureFixture) -> None:
    async with local_gateway(fine) as gateway, httpx.AsyncClient() as client:
        url = f"http://127.0.0.1:{gateway.port}/"
        assert (await client.get(url)).text == "fine"
        assert (await client.get(url, headers={"host": "app.localhost"})).text == "fine"
        response = await client.get(url, headers={"host": "evil.example"})
        assert (response.status_code, "--allowed-host" in response.text) == (403, True)
        assert len(gateway.events) == 2
    assert "Refused a request for the host 'evil.example'. --allowed-host opens" in caplog.text


async def test_websockets_for_other_hosts() -> None:
    async with local_gateway(fine) as gateway:
        headers = {"Host": "evil.example"}
        with pytest.raises(InvalidStatus) as caught:
            await connect(gateway.websocket_url, additional_headers=headers)
        assert caught.value.response.status_code == 403
        assert gateway.events == []
        async with connect(gateway.websocket_url):
            pass


@pytest.mark.parametrize("hosts", [[], [(b"host", b"localhost"), (b"host", b"localhost")]], ids=["none", "two"])
async def test_a_request_without_one_host(hosts: list[tuple[bytes, bytes]]) -> None:
    """Over a socket that has no address, from a client that has gone."""
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)
        raise OSError("gone")

    async def receive() -> Any:
        raise AssertionError("nothing is to be read")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("it is not to be called")

    websockets: WebSocketAPI = app  # type: ignore[assignment]
    connections: ConnectionsAPI = app  # type: ignore[assignment]
    scope = {"type": "http", "headers": hosts, "raw_path": b"/", "path": "/", "server": None}
    await Gateway(app, websockets, connections, None)(scope, receive, send)
    assert [message["status"] for message in sent] == [403]


def test_the_option(tmp_path: Path) -> None:
    (tmp_path / "served.py").write_text(
        "def handler(event, context):\n    return {'statusCode': 200, 'body': 'fine'}\n"
    )
    options = ["--no-reload", "--allowed-host", "one.example", "--allowed-host", ".two.example"]
    with serving(tmp_path, "served:handler", *options) as server, httpx.Client(timeout=30) as client:
        for host, status in {"one.example": 200, "x.two.example": 200, "three.example": 403, "x\x1b[2J": 403}.items():
            assert client.get(server.url, headers={"host": host}).status_code in (status, 400), host
        # The page is for this machine all the same, and not for clients of a proxy on it.
        assert client.get(f"{server.url}/_mangum").status_code == 200
        assert client.get(f"{server.url}/_mangum", headers={"host": "one.example"}).status_code == 403
        assert client.get(f"{server.url}/_mangum", headers={"x-forwarded-for": "127.0.0.1"}).status_code == 403
        server.wait_for("Refused a request for the host 'three.example'")


def test_an_option_that_is_wrong() -> None:
    result = run("dev", "served:handler", "--allowed-host", "http://x")
    assert (result.exit_code, "invalid host 'http://x' in --allowed-host" in result.stderr) == (2, True)
