"""What API Gateway, and what stands in for it, say of a WebSocket, as the application gets it."""

from __future__ import annotations

import base64
import copy
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mangum import Mangum
from mangum.config import Config
from mangum.exceptions import ConfigurationError, ConnectionGone, EventError, InvalidEvent, UnsupportedEvent
from mangum.types import Message, Receive, Scope, Send
from mangum.websocket.event import Handshake, WebSocketEvent
from tests.apps import hello
from tests.servers.connections import ConnectionsEndpoint
from tests.test_malformed_events import json_values, places
from tests.test_translation_properties import names, unicode_text
from tests.websocket_client import connect_event, disconnect_event, message_event

FRESH = ("aws.event", "aws.context", "aws.connections", "aws.task_group")  # of the event, not of the connection


class Recorder:
    """Keeps the scopes and messages that come, and accepts with the last subprotocol."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []
        self.messages: list[Message] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append({key: value for key, value in scope.items() if key not in FRESH})
        await receive()
        await send({"type": "websocket.accept", "subprotocol": next(reversed(scope["subprotocols"]), None)})
        while True:
            message = await receive()
            self.messages.append(message)
            if message["type"] == "websocket.disconnect":
                return


@pytest.fixture(scope="module")
def shared_endpoint() -> Iterator[ConnectionsEndpoint]:
    """One for all examples of hypothesis."""
    with ConnectionsEndpoint(keeps=False) as running:
        yield running


def translated(event: dict[str, Any], **arguments: Any) -> WebSocketEvent:
    return WebSocketEvent(event, None, Config(dsn="memory://", **arguments))


# Any connection

tokens = st.from_regex(r"[a-zA-Z0-9.!#-]{1,12}", fullmatch=True)
headers = st.dictionaries(names, st.lists(unicode_text, min_size=1, max_size=3), max_size=4)
queries = st.dictionaries(
    unicode_text | st.sampled_from(["a&b", "a=b", "a+b", "a;b", "%41", "#", "/?"]),
    st.lists(unicode_text | st.sampled_from(["", "&", "=", "+", "%2B", "#", "ü€"]), min_size=1, max_size=3),
    max_size=4,
)
binary_forms = (
    lambda data: ({"body": base64.b64encode(data).decode(), "isBase64Encoded": True}),
    lambda data: ({"body": {"type": "Buffer", "data": list(data)}}),
)
messages = st.one_of(
    unicode_text.map(lambda text: ({"body": text}, {"text": text})),
    st.tuples(st.binary(), st.sampled_from(binary_forms)).map(lambda pair: (pair[1](pair[0]), {"bytes": pair[0]})),
)


@given(
    sent_headers=headers,
    query=queries,
    client=st.none() | st.ip_addresses().map(str),
    offers=st.lists(st.lists(tokens, min_size=1, max_size=3), max_size=2),
    sent=st.lists(messages, max_size=3),
    code=st.none() | st.integers(1000, 4999),
    reason=st.none() | unicode_text,
)
def test_what_a_client_says_reaches_the_application(
    sent_headers: dict[str, list[str]],
    query: dict[str, list[str]],
    client: str | None,
    offers: list[list[str]],
    sent: list[tuple[dict[str, Any], dict[str, Any]]],
    code: int | None,
    reason: str | None,
) -> None:
    multi = {"Host": ["example.org"], **sent_headers}
    if offers:
        multi["Sec-WebSocket-Protocol"] = [", ".join(offer) for offer in offers]
    connect = connect_event("a")
    connect["headers"] = {name: values[-1] for name, values in multi.items()}
    connect["multiValueHeaders"] = multi
    connect["queryStringParameters"] = {name: values[-1] for name, values in query.items()} or None
    connect["multiValueQueryStringParameters"] = query or None
    connect["requestContext"]["identity"] = None if client is None else {"sourceIp": client}
    subprotocols = [name for offer in offers for name in offer]
    app = Recorder()

    with Mangum(app, lifespan="off", dsn="sqlite://:memory:", api_gateway_endpoint_url="http://127.0.0.1:1") as handler:
        answer = handler(json.loads(json.dumps(connect)), None)
        for fields, _ in sent:
            assert handler(message_event("a", **fields), None) == {"statusCode": 200}
        assert handler(disconnect_event("a", code, reason), None) == {"statusCode": 200}

    first, *later = app.scopes
    assert first["headers"] == [[name.lower().encode(), value.encode()] for name in multi for value in multi[name]]
    assert parse_qsl(first["query_string"].decode("ascii"), keep_blank_values=True) == [
        (name, value) for name, values in query.items() for value in values
    ]
    assert first["client"] == (None if client is None else (client, 0))
    assert first["server"] == ("example.org", 443)
    assert first["subprotocols"] == subprotocols
    assert later == [first] * (len(sent) + 1)
    assert answer.get("headers") == ({"Sec-WebSocket-Protocol": subprotocols[-1]} if offers else None)
    assert app.messages == [
        *({"type": "websocket.receive", **message} for _, message in sent),
        {
            "type": "websocket.disconnect",
            "code": 1005 if code is None else code,
            "reason": "" if code is None else reason or "",
        },
    ]


@given(
    handshake=st.builds(
        Handshake,
        headers=st.lists(st.lists(st.binary(max_size=20), min_size=2, max_size=2)),
        query_string=st.binary(max_size=20).map(base64.b64encode),
        client=st.none() | unicode_text,
        server=st.tuples(unicode_text, st.integers(0, 65535)),
        scheme=st.sampled_from(["ws", "wss"]),
    )
)
def test_a_handshake_is_the_same_after_its_time_in_a_store(handshake: Handshake) -> None:
    assert Handshake.of_json(json.loads(json.dumps(handshake.as_json()))) == handshake


@given(name=names, value=unicode_text)
def test_headers_without_lists(name: str, value: str) -> None:
    event = connect_event("a")
    event["headers"] = {name: value}
    del event["multiValueHeaders"]
    assert translated(event).handshake().headers == [[name.lower().encode(), value.encode()]]


# serverless-offline, recorded in its version 13


OFFLINE = {
    "connectionId": "6a0ba8b2-6b14-4a0f-9d0d-2b8f8a8a8d1f",
    "domainName": "localhost",
    "stage": "local",
    "apiId": "private",
    "identity": {"accountId": None, "cognitoIdentityId": None, "sourceIp": "127.0.0.1", "userAgent": None},
}


def offline_event(event_type: str, route: str, **fields: Any) -> dict[str, Any]:
    context = {**OFFLINE, "eventType": event_type, "routeKey": route}
    return {"requestContext": context, "isBase64Encoded": False, **fields}


def test_serverless_offline(shared_endpoint: ConnectionsEndpoint) -> None:
    app = Recorder()
    made_up = {"Host": "localhost", "x-api-key": "", "x-restapi": ""}
    with Mangum(app, lifespan="off", dsn="sqlite://:memory:", api_gateway_endpoint_url=shared_endpoint.url) as handler:
        connect = offline_event(
            "CONNECT",
            "$connect",
            headers={"Host": "localhost:3001", "Upgrade": "websocket"},
            multiValueHeaders={"Host": ["localhost:3001"], "Upgrade": ["websocket"]},
        )
        assert handler(connect, None) == {"statusCode": 200}
        handler(offline_event("MESSAGE", "an action without a route", body='{"action": "x"}'), None)
        handler(offline_event("MESSAGE", "$default", body={"type": "Buffer", "data": [0, 255]}), None)
        handler(offline_event("DISCONNECT", "$disconnect", headers=made_up, multiValueHeaders={}), None)
    assert app.scopes == [app.scopes[0]] * 4
    assert app.scopes[0]["scheme"] == "ws"
    assert app.scopes[0]["server"] == ("localhost", 3001)
    assert app.scopes[0]["headers"] == [[b"host", b"localhost:3001"], [b"upgrade", b"websocket"]]
    assert app.scopes[0]["client"] == ("127.0.0.1", 0)
    assert app.scopes[0]["query_string"] == b""
    assert app.messages == [
        {"type": "websocket.receive", "text": '{"action": "x"}'},
        {"type": "websocket.receive", "bytes": b"\0\xff"},
        {"type": "websocket.disconnect", "code": 1005, "reason": ""},
    ]


@pytest.mark.parametrize("identity", [None, {}, {"sourceIp": None}, {"sourceIp": ""}])
def test_nothing_is_told_of_the_client(identity: Any) -> None:
    event = connect_event("a")
    event["requestContext"]["identity"] = identity
    assert translated(event).handshake().client is None
    del event["requestContext"]["identity"]
    assert translated(event).handshake().client is None


@pytest.mark.parametrize(
    ("domain", "sent", "scheme", "server"),
    [
        ("abc.execute-api.eu-west-1.amazonaws.com", {}, "wss", ("abc.execute-api.eu-west-1.amazonaws.com", 443)),
        ("ws.example.org", {"Host": "a b", "X-Forwarded-Port": "0"}, "wss", ("ws.example.org", 443)),
        (None, {}, "wss", None),
        ("ws.example.org", {"Host": "ws.example.org"}, "wss", ("ws.example.org", 443)),
        ("ws.example.org", {"Host": "x", "X-Forwarded-Proto": "http", "X-Forwarded-Port": "80"}, "ws", ("x", 80)),
        ("localhost", {"Host": "localhost:3001"}, "ws", ("localhost", 3001)),
        ("localhost", {"Host": "localhost", "X-Forwarded-Proto": "https"}, "wss", ("localhost", 443)),
        (None, {"host": "127.0.0.1:8000"}, "ws", ("127.0.0.1", 8000)),
        (None, {"host": "[::1]:8000"}, "ws", ("::1", 8000)),
    ],
)
def test_scheme_and_server(domain: str | None, sent: dict[str, str], scheme: str, server: Any) -> None:
    event = connect_event("a")
    event["requestContext"]["domainName"] = domain
    event["headers"] = sent
    event["multiValueHeaders"] = {name: [value] for name, value in sent.items()}
    handshake = translated(event).handshake()
    assert (handshake.scheme, handshake.server) == (scheme, server)
    assert Handshake.of_json(json.loads(json.dumps(handshake.as_json()))) == handshake


# Malformed events


def changed(event: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The event with another value at a path; `...` for none."""
    event = copy.deepcopy(event)
    *parents, last = path.split(".")
    at = event
    for key in parents:
        at = at[key]
    if value is ...:
        del at[last]
    else:
        at[last] = value
    return event


CONNECT, MESSAGE, DISCONNECT = connect_event("a"), message_event("a", "x"), disconnect_event("a")


@pytest.mark.parametrize(
    ("event", "path", "value", "message"),
    [
        (CONNECT, "requestContext.connectionId", "", "`requestContext.connectionId` is no connection id"),
        (CONNECT, "requestContext.connectionId", "x" * 1025, "`requestContext.connectionId` is no connection id"),
        (CONNECT, "requestContext.connectionId", "a\0", "`requestContext.connectionId` is no connection id"),
        (CONNECT, "requestContext.connectionId", None, "`requestContext.connectionId` is null, not a string"),
        (MESSAGE, "requestContext.connectionId", 5, "`requestContext.connectionId` is a number, not a string"),
        (DISCONNECT, "requestContext.connectionId", "\ud800", "`requestContext.connectionId` has characters"),
        (CONNECT, "headers", [1], "`headers` is a list, not an object"),
        (CONNECT, "multiValueHeaders", "x", "`multiValueHeaders` is a string, not an object"),
        (CONNECT, "multiValueHeaders", {"a": [1]}, "`multiValueHeaders.a` is a list, not a string"),
        (CONNECT, "multiValueHeaders", {"a": ["\udfff"]}, "`multiValueHeaders.a` is a list, not a string"),
        (CONNECT, "multiValueHeaders", {"\ud800": ["a"]}, "`multiValueHeaders` has characters"),
        (CONNECT, "queryStringParameters", 5, "`queryStringParameters` is a number, not an object"),
        (CONNECT, "queryStringParameters", {"a": "\ud800"}, "`queryStringParameters.a` has characters"),
        (CONNECT, "multiValueQueryStringParameters", {"a": {}}, "`multiValueQueryStringParameters.a` is an object"),
        (CONNECT, "requestContext.identity", ["x"], "`requestContext.identity` is a list, not an object"),
        (CONNECT, "requestContext.identity", "x", "`requestContext.identity` is a string, not an object"),
        (CONNECT, "requestContext.identity", {"sourceIp": 5}, "`requestContext.identity.sourceIp` is a number"),
        (CONNECT, "requestContext.identity", {"sourceIp": "\ud800"}, "`requestContext.identity.sourceIp` has"),
        (CONNECT, "requestContext.domainName", 5, "`requestContext.domainName` is a number, not a string"),
        (CONNECT, "requestContext.stage", ["x"], "`requestContext.stage` is a list, not a string"),
        (CONNECT, "requestContext.stage", "\ud800", "`requestContext.stage` has characters"),
        (CONNECT, "requestContext.apiId", {}, "`requestContext.apiId` is an object, not a string"),
        (MESSAGE, "body", 0, "`body` is a number, not a string"),
        (MESSAGE, "body", ["x"], "`body` is a list, not a string"),
        (MESSAGE, "body", {"type": "Other"}, "`body` is an object, not a string"),
        (MESSAGE, "body", {"type": "Buffer"}, "`body.data` is no list of bytes"),
        (MESSAGE, "body", {"type": "Buffer", "data": 5}, "`body.data` is no list of bytes"),
        (MESSAGE, "body", {"type": "Buffer", "data": 10**12}, "`body.data` is no list of bytes"),
        (MESSAGE, "body", {"type": "Buffer", "data": "x"}, "`body.data` is no list of bytes"),
        (MESSAGE, "body", {"type": "Buffer", "data": [256]}, "`body.data` is no list of bytes"),
        (MESSAGE, "body", {"type": "Buffer", "data": [True]}, "`body.data` is no list of bytes"),
        (MESSAGE, "body", "\ud800", "`body` has characters that are no Unicode text"),
        (MESSAGE, "isBase64Encoded", "false", "`isBase64Encoded` is a string, not a boolean"),
        (DISCONNECT, "requestContext.disconnectStatusCode", "x", "`requestContext.disconnectStatusCode` is no status"),
        (DISCONNECT, "requestContext.disconnectStatusCode", True, "`requestContext.disconnectStatusCode` is no status"),
        (DISCONNECT, "requestContext.disconnectStatusCode", [1], "`requestContext.disconnectStatusCode` is no status"),
        (
            DISCONNECT,
            "requestContext.disconnectStatusCode",
            float("inf"),
            "`requestContext.disconnectStatusCode` is no status",
        ),
        (DISCONNECT, "requestContext.disconnectReason", 5, "`requestContext.disconnectReason` is a number"),
        (DISCONNECT, "requestContext.disconnectReason", "\ud800", "`requestContext.disconnectReason` has characters"),
    ],
)
def test_the_message_names_the_field(event: dict[str, Any], path: str, value: Any, message: str) -> None:
    with Mangum(Recorder(), lifespan="off", dsn="sqlite://:memory:") as handler:
        if event is not CONNECT:
            handler(CONNECT, None)
        with pytest.raises(InvalidEvent, match=f"WebSocket API event, but {re.escape(message)}"):
            handler(changed(event, path, value), None)


def test_a_code_that_is_a_string() -> None:
    event = changed(DISCONNECT, "requestContext.disconnectStatusCode", "4001")
    assert translated(event).message()["code"] == 4001


# What damages a field, or takes it away, and never what belongs to another connection.
damages = (
    st.just(...) | json_values | st.just("\ud800") | st.sampled_from([10**400, float("inf"), b"x", {"a": "\udfff"}])
)


@given(original=st.sampled_from([CONNECT, MESSAGE, DISCONNECT]), value=damages, data=st.data())
def test_a_damaged_field_is_named_or_does_not_matter(
    shared_endpoint: ConnectionsEndpoint, original: dict[str, Any], value: Any, data: st.DataObject
) -> None:
    paths = [path for path in places(original) if path[-1] not in ("eventType", "connectionId", "requestContext")]
    path = data.draw(st.sampled_from(paths))
    if isinstance(path[-1], int):  # in a list
        path, value = path[:-1], [value]
    event = changed(original, ".".join(path), value)
    url = shared_endpoint.url
    with Mangum(Recorder(), lifespan="off", dsn="sqlite://:memory:", api_gateway_endpoint_url=url) as handler:
        if original is not CONNECT:
            assert handler(CONNECT, None) == {"statusCode": 200}
        try:
            assert handler(event, None)["statusCode"] == 200
        except InvalidEvent as error:
            named = re.findall(r"`([^`]*)`", str(error))
            assert any(name.startswith(path[0]) for name in named), (error, path)
            if original is CONNECT:  # nothing is stored
                with pytest.raises(ConnectionGone, match="There is no WebSocket connection"):
                    handler.run(handler.connections.send, "a", "x")
            else:  # and what is stored is not touched
                assert handler(original, None) == {"statusCode": 200}


@given(value=json_values | st.just("\ud800"))
def test_a_damaged_context_is_an_error_of_the_event(value: Any) -> None:
    with Mangum(Recorder(), lifespan="off", dsn="sqlite://:memory:") as handler:
        for key in ("eventType", "requestContext"):
            event = {**CONNECT, "requestContext": value} if key == "requestContext" else None
            event = event or changed(CONNECT, f"requestContext.{key}", value)
            with pytest.raises(EventError):
                handler(event, None)
        with pytest.raises(UnsupportedEvent):
            handler(changed(CONNECT, "requestContext.connectionId", ...), None)


# Where messages are posted


def endpoint_of(domain: Any, *, stage: Any = "prod", api_id: Any = "abc", **arguments: Any) -> str | None:
    event = connect_event("a")
    event["requestContext"] |= {"domainName": domain, "stage": stage, "apiId": api_id}
    return translated(event, **arguments).endpoint_url


@pytest.mark.parametrize("region", [None, "us-east-1"])
@pytest.mark.parametrize(
    ("domain", "url"),
    [
        (
            "abc.execute-api.eu-west-1.amazonaws.com",
            "https://abc.execute-api.eu-west-1.amazonaws.com/prod",
        ),
        (
            "abc.execute-api.cn-north-1.amazonaws.com.cn",
            "https://abc.execute-api.cn-north-1.amazonaws.com.cn/prod",
        ),
        ("localhost:3001", "http://localhost:3001/prod"),
        ("127.0.0.1:3001", "http://127.0.0.1:3001/prod"),
        ("[::1]:3001", "http://[::1]:3001/prod"),
    ],
)
def test_an_endpoint_that_the_domain_tells(domain: str, url: str, region: str | None) -> None:
    assert endpoint_of(domain, api_gateway_region_name=region) == url
    event = connect_event("a")
    event["requestContext"]["domainName"] = domain
    given_url = translated(event, api_gateway_endpoint_url="https://ws.example.org/key/").endpoint_url
    assert given_url == "https://ws.example.org/key"


@pytest.mark.parametrize(
    ("region", "url"),
    [
        ("eu-west-1", "https://abc.execute-api.eu-west-1.amazonaws.com/prod"),
        ("cn-north-1", "https://abc.execute-api.cn-north-1.amazonaws.com.cn/prod"),
    ],
)
@pytest.mark.usefixtures("no_aws")
def test_the_default_host_stands_in_for_a_custom_domain(region: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert endpoint_of("ws.example.org") is None
    assert endpoint_of("ws.example.org", api_gateway_region_name=region) == url
    monkeypatch.setenv("AWS_DEFAULT_REGION", region)
    assert endpoint_of("ws.example.org") == url
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_REGION", region)
    assert endpoint_of("ws.example.org") == url


@pytest.mark.parametrize(
    ("domain", "api_id"),
    [
        ("localhost", "abc"),
        (None, "abc"),
        ("", "abc"),
        ("ws.example.org", None),
        ("ws.example.org", "example.com/"),
        ("ws.example.org:4510", "abc"),
        ("abc.execute-api.localhost.localstack.cloud:4566", "abc"),
        ("abc.execute-api.localhost.localstack.cloud", "abc"),
        ("localhost:3001@example.com", "abc"),
    ],
)
def test_nothing_tells_the_endpoint(domain: str | None, api_id: str | None) -> None:
    assert endpoint_of(domain, api_id=api_id, api_gateway_region_name="eu-west-1") is None


# The adapter's arguments


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dsn": 5}, "`dsn` must be a string like"),
        ({"dsn": ""}, "`dsn` has no scheme"),
        ({"dsn": "connections.db"}, "`dsn` has no scheme"),
        ({"dsn": "mysql://host/db"}, "has a scheme that nobody knows. Known are dynamodb,"),
        ({"dsn": "postgresql://"}, "postgresql://"),
        ({"dsn": "sqlite://"}, "sqlite://"),
        ({"websocket_path": "ws"}, "`websocket_path` must be a path like \"/ws\", not 'ws'."),
        ({"websocket_path": None}, '`websocket_path` must be a path like "/ws", not None.'),
        ({"dsn": None, "websocket_path": "/ws"}, "WebSocket connections need a store: give its `dsn` too."),
        ({"dsn": None, "api_gateway_endpoint_url": "https://x"}, "WebSocket connections need a store"),
        ({"api_gateway_endpoint_url": 5}, "`api_gateway_endpoint_url` must be a URL like"),
        ({"api_gateway_endpoint_url": "ws.example.org"}, "amazonaws.com/prod\", not 'ws.example.org'."),
        ({"api_gateway_endpoint_url": "ftp://ws.example.org"}, "`api_gateway_endpoint_url` must be a URL like"),
        ({"api_gateway_endpoint_url": "https://"}, "`api_gateway_endpoint_url` must be a URL like"),
        ({"api_gateway_endpoint_url": ""}, "`api_gateway_endpoint_url` must be a URL like"),
        ({"api_gateway_region_name": ""}, '`api_gateway_region_name` must be the name of a region like "eu-west-1"'),
        ({"api_gateway_region_name": 5}, "`api_gateway_region_name` must be the name of a region"),
    ],
)
def test_a_wrong_argument(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        Mangum(hello, **{"dsn": "sqlite://:memory:", **arguments})


@pytest.mark.parametrize(
    ("url", "taken"),
    [
        ("wss://abc.execute-api.eu-west-1.amazonaws.com/prod", "https://abc.execute-api.eu-west-1.amazonaws.com/prod"),
        ("ws://127.0.0.1:3001", "http://127.0.0.1:3001"),
        ("https://ws.example.org/key//", "https://ws.example.org/key"),
        ("http://localhost:3001/", "http://localhost:3001"),
        (None, None),
    ],
)
def test_the_endpoint_that_is_given(url: str | None, taken: str | None) -> None:
    config = Config(dsn="memory://", api_gateway_endpoint_url=url)
    assert config.api_gateway_endpoint_url == taken


@pytest.mark.usefixtures("no_aws")
def test_the_region(monkeypatch: pytest.MonkeyPatch) -> None:
    def region(**arguments: Any) -> str | None:
        return Config(**arguments).api_gateway_region_name

    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert region() is None  # the endpoint's own goes before the environment's
    assert region(api_gateway_region_name="eu-west-3") == "eu-west-3"
