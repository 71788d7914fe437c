"""Any request, as any front door's event, reaches the application as the same request; any response comes back the
same."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

from hypothesis import given
from hypothesis import strategies as st

from mangum import Mangum
from mangum.local.events.requests import HTTPRequest
from tests.apps import Recorder
from tests.sources import FRONT_DOORS, FrontDoor

unicode_text = st.text(st.characters(exclude_categories=["Cs"]))
segments = st.one_of(
    unicode_text.map(lambda text: quote(text, safe="")),
    st.sampled_from(
        ["", "%2F", "a+b", "%2B", "%25", "%3Fx", "~", "a;b=c", "caf%C3%A9", "%E2%82%AC", "..", "(x)'!*,:@&=$"]
    ),
)
paths = st.lists(segments, max_size=4).map(lambda parts: "/" + "/".join(parts))
query_parts = st.one_of(
    unicode_text.map(lambda text: quote(text, safe="")), st.sampled_from(["", "a+b", "%2B", "%26", "%3D"])
)
queries = st.lists(st.tuples(query_parts.filter(bool), query_parts), max_size=5).map(
    lambda pairs: "&".join(f"{name}={value}" for name, value in pairs)
)
names = st.from_regex(r"[Xx]-[A-Za-z0-9_-]{1,8}", fullmatch=True).filter(
    lambda name: not name.lower().startswith("x-amz")
)
values = st.text(st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=12)
cookies = st.lists(st.from_regex(r"[a-z]{1,6}=[A-Za-z0-9/+]{0,8}", fullmatch=True), max_size=3).map("; ".join)


@st.composite
def requests(draw: st.DrawFn) -> HTTPRequest:
    headers = draw(st.lists(st.tuples(names, values), max_size=6))
    if cookie := draw(cookies):
        headers.append(("Cookie", cookie))
    body = draw(st.binary(max_size=64))
    if body:
        headers += [("Content-Length", str(len(body))), ("Content-Type", "application/octet-stream")]
    return HTTPRequest(
        method=draw(st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])),
        path=draw(paths),
        query_string=draw(queries),
        headers=(("Host", draw(st.sampled_from(["example.org", "[::1]:8080", "a.b:443"]))), *headers),
        body=body,
        client=draw(st.ip_addresses().map(str)),
        scheme="https",
        port=443,
    )


def grouped(pairs: Any) -> dict[Any, list[Any]]:
    groups: dict[Any, list[Any]] = {}
    for name, value in pairs:
        groups.setdefault(name, []).append(value)
    return groups


def expected_headers(door: FrontDoor, request: HTTPRequest) -> dict[bytes, list[bytes]]:
    pairs = [(name.lower(), value) for name, value in request.headers]
    groups = grouped((name.encode(), value.encode()) for name, value in pairs)
    if door.keeps_last:
        return {name: values[-1:] for name, values in groups.items()}
    if door.decodes_query:  # payload 1.0 has a key for each spelling of a name: the last one counts
        spellings = grouped((name.encode(), value.encode()) for name, value in request.headers)
        return {name.lower(): values for name, values in spellings.items()}
    if door.joins_headers is not None:
        return {name: [door.joins_headers.encode().join(values)] for name, values in groups.items()}
    return groups


def check_query(door: FrontDoor, sent: str, received: bytes) -> None:
    if door.keeps_last:
        pairs = [part.partition("=")[::2] for part in sent.split("&") if part]
        assert dict(part.partition("=")[::2] for part in received.decode().split("&") if part) == dict(pairs)
    elif door.decodes_query:
        kept = {"keep_blank_values": True}
        assert grouped(parse_qsl(received.decode(), **kept)) == grouped(parse_qsl(sent, **kept))  # type: ignore[arg-type]
    elif door.name == "alb-multi":
        assert sorted(received.decode().split("&")) == sorted(sent.split("&"))
    else:
        assert received == sent.encode()


@given(door=st.sampled_from(FRONT_DOORS), request=requests())
def test_a_request_reaches_the_application_as_it_was_sent(door: FrontDoor, request: HTTPRequest) -> None:
    app = Recorder()
    event = json.loads(json.dumps(door.event(request)))
    with Mangum(app, lifespan="off") as handler:
        handler(event, None)

    scope = app.scope
    assert scope["method"] == request.method
    assert scope["path"] == unquote(request.path)
    assert unquote(scope["raw_path"].decode("ascii")) == scope["path"]
    if not door.decodes_path:
        assert scope["raw_path"] == request.path.encode()
    check_query(door, request.query_string, scope["query_string"])

    received = grouped((name, value) for name, value in scope["headers"])
    assert all(type(part) is bytes for pair in scope["headers"] for part in pair)
    expected = expected_headers(door, request)
    assert {name: received[name] for name in expected} == expected
    assert app.body == request.body
    assert scope["client"] == (request.client, 0)
    host = request.headers[0][1]
    assert scope["server"][0] == ("::1" if host.startswith("[") else host.partition(":")[0])
    assert scope["scheme"] == "https"


text_bodies = st.tuples(st.just("text/html; charset=utf-8"), unicode_text.map(str.encode))
binary_bodies = st.tuples(st.sampled_from(["image/png", "text/plain", "application/x-unknown"]), st.binary())


@given(
    door=st.sampled_from(FRONT_DOORS),
    status=st.integers(200, 599).filter(lambda status: status != 204),
    content=st.one_of(text_bodies, binary_bodies),
    headers=st.lists(st.tuples(names, values), max_size=6),
    set_cookies=st.lists(values, max_size=6),
)
def test_a_response_comes_back_as_it_was_sent(
    door: FrontDoor,
    status: int,
    content: tuple[str, bytes],
    headers: list[tuple[str, str]],
    set_cookies: list[str],
) -> None:
    content_type, body = content
    pairs = [("content-type", content_type), *headers, *(("Set-Cookie", cookie) for cookie in set_cookies)]
    app = Recorder(status, [[name.encode(), value.encode()] for name, value in pairs], body)
    event = door.event(HTTPRequest(method="GET", path="/", headers=(("host", "example.org"),)))
    with Mangum(app, lifespan="off") as handler:
        answer = json.loads(json.dumps(handler(event, None)))

    got_status, got_pairs, got_body = door.read(answer)
    assert got_status == status
    assert got_body == body
    expected = grouped((name.lower(), value) for name, value in pairs)
    got = grouped((name.lower(), value) for name, value in got_pairs)
    assert got.pop("set-cookie", []) == expected.pop("set-cookie", [])
    assert {name: joined(values) for name, values in got.items()} == {
        name: joined(values) for name, values in expected.items()
    }


def joined(values: list[str]) -> str:
    """Repeated fields may be joined (RFC 9110, section 5.3)."""
    return ",".join(values).replace(", ", ",")
