"""Where the application is mounted: `api_gateway_base_path`, `root_path`, and what frameworks make of them."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, unquote

import pytest
from fastapi import FastAPI, Request
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from mangum import Mangum
from mangum.handlers.paths import is_below, strip_prefix, trailing_match
from mangum.local.events.requests import HTTPRequest
from tests.apps import Recorder
from tests.sources import BY_NAME


def placed(event: dict[str, Any], **arguments: Any) -> tuple[str, bytes, str]:
    app = Recorder()
    with Mangum(app, lifespan="off", **arguments) as handler:
        handler(event, None)
    return app.scope["path"], app.scope["raw_path"], app.scope["root_path"]


def event_for(name: str, path: str) -> dict[str, Any]:
    return BY_NAME[name].event(
        HTTPRequest(method="GET", path=path, headers=(("Host", "example.org"),), scheme="https", port=443)
    )


@pytest.mark.parametrize("name", ["rest-api", "http-api-1.0", "http-api-2.0", "function-url"])
@pytest.mark.parametrize("base_path", ["/api", "api", "/api/", "api/"])
@pytest.mark.parametrize(
    ("path", "left"),
    [
        ("/api", "/"),
        ("/api/", "/"),
        ("/api/items", "/items"),
        ("/api/api/items", "/api/items"),
        ("/apiary", "/apiary"),
        ("/items/api", "/items/api"),
        ("/", "/"),
    ],
)
def test_base_path_is_stripped_at_a_segments_end(name: str, base_path: str, path: str, left: str) -> None:
    assert placed(event_for(name, path), api_gateway_base_path=base_path) == (left, left.encode(), "")


def test_base_path_is_compared_segment_by_segment() -> None:
    assert placed(event_for("rest-api", "/%61pi/x%2Fy"), api_gateway_base_path="/api") == ("/x/y", b"/x%2Fy", "")
    assert placed(event_for("rest-api", "/%61pi"), api_gateway_base_path="/api") == ("/", b"/", "")
    unchanged = placed(event_for("rest-api", "/a%2Fb/c"), api_gateway_base_path="/a/b")
    assert unchanged == ("/a/b/c", b"/a%2Fb/c", "")
    assert placed(event_for("http-api-2.0", "/caf%C3%A9/x"), api_gateway_base_path="/café") == ("/x", b"/x", "")


@pytest.mark.parametrize("name", ["alb", "alb-multi", "lambda-at-edge", "vpc-lattice-1", "vpc-lattice-2"])
def test_base_path_is_api_gateways(name: str) -> None:
    assert placed(event_for(name, "/api/x"), api_gateway_base_path="/api") == ("/api/x", b"/api/x", "")


@pytest.mark.parametrize("base_path", [None, "", "/"])
def test_no_base_path(base_path: str | None) -> None:
    assert placed(event_for("rest-api", "/api"), api_gateway_base_path=base_path) == ("/api", b"/api", "")


@pytest.mark.parametrize("path", ["/api", "/api/items"])
def test_root_path_stays_in_the_path(path: str) -> None:
    for name in BY_NAME:
        assert placed(event_for(name, path), root_path="/api/") == (path, path.encode(), "/api")


@pytest.mark.parametrize(("path", "full"), [("/", "/api/"), ("/items", "/api/items"), ("/apiary", "/api/apiary")])
def test_root_path_is_put_in_front_where_it_is_missing(path: str, full: str) -> None:
    for name in BY_NAME:
        assert placed(event_for(name, path), root_path="/api") == (full, full.encode(), "/api")


def rest(path: str, full_path: str, resource: str, **parameters: str) -> dict[str, Any]:
    event = event_for("rest-api", "/")
    event |= {"path": path, "resource": resource, "pathParameters": parameters or None}
    event["requestContext"] |= {"path": full_path, "resourcePath": resource}
    return event


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        # The default host: the stage is in requestContext.path alone.
        (rest("/items", "/prod/items", "/{proxy+}", proxy="items"), ("/prod/items", "/prod")),
        (rest("/", "/prod/", "/"), ("/prod/", "/prod")),
        (rest("/", "/prod", "/"), ("/prod/", "/prod")),
        (rest("", "/dev", ""), ("/dev/", "/dev")),
        (rest("/items/1/", "/prod/items/1/", "/items/{id}", id="1"), ("/prod/items/1/", "/prod")),
        (rest("/prod/x", "/prod/prod/x", "/{proxy+}", proxy="prod/x"), ("/prod/prod/x", "/prod")),
        (rest("/x", "/prod//x", "/{proxy+}", proxy="x"), ("/prod/x", "/prod")),
        # A custom domain: the mapping is in both.
        (rest("/v1/items", "/v1/items", "/{proxy+}", proxy="items"), ("/v1/items", "/v1")),
        (rest("/v1/items/a%20b", "/v1/items/a%20b", "/items/{id}", id="a%20b"), ("/v1/items/a b", "/v1")),
        (rest("/v1/", "/v1/", "/"), ("/v1/", "/v1")),
        (rest("/v1/prod/x", "/v1/prod/x", "/x"), ("/v1/prod/x", "/v1/prod")),
        # A custom domain without a mapping.
        (rest("/items", "/items", "/{proxy+}", proxy="items"), ("/items", "")),
        # What the event does not show.
        (rest("/items", "/elsewhere", "/other"), ("/items", "")),
        (rest("/items", "", "/items"), ("/items", "")),
        (rest("/x/y", "/prod/x/y", ""), ("/prod/x/y", "/prod")),
    ],
)
def test_auto_takes_the_stage_or_the_mapping_of_a_rest_api(event: dict[str, Any], expected: tuple[str, str]) -> None:
    path, raw_path, root_path = placed(event, root_path="auto")
    assert (path, root_path) == expected
    assert raw_path == quote(path).encode()


def test_auto_without_a_request_context() -> None:
    event = event_for("rest-api", "/x") | {"requestContext": None}
    assert placed(event, root_path="auto") == ("/x", b"/x", "")


@pytest.mark.parametrize("name", ["http-api-1.0", "http-api-2.0"])
@pytest.mark.parametrize(
    ("stage", "path", "root_path"),
    [
        ("prod", "/prod/items", "/prod"),
        ("prod", "/prod", "/prod"),
        ("prod", "/products", ""),
        ("$default", "/items", ""),
        (None, "/items", ""),
    ],
)
def test_auto_takes_the_named_stage_of_an_http_api(name: str, stage: str | None, path: str, root_path: str) -> None:
    event = event_for(name, path)
    event["requestContext"]["stage"] = stage
    event["resource"] = "$default"
    assert placed(event, root_path="auto") == (path, path.encode(), root_path)


def test_auto_takes_the_mapping_of_an_http_api_with_payload_1() -> None:
    event = event_for("http-api-1.0", "/v1/items") | {"resource": "/items", "pathParameters": None}
    assert placed(event, root_path="auto") == ("/v1/items", b"/v1/items", "/v1")


@pytest.mark.parametrize("name", ["function-url", "alb", "lambda-at-edge", "vpc-lattice-1", "vpc-lattice-2"])
def test_auto_is_empty_elsewhere(name: str) -> None:
    assert placed(event_for(name, "/x"), root_path="auto") == ("/x", b"/x", "")


fastapi_app = FastAPI()


@fastapi_app.get("/items/{item}", name="item")
def read_item(item: str, request: Request) -> dict[str, str]:
    return {"item": item, "url": str(request.url_for("item", item="2"))}


def test_fastapis_documentation_behind_a_stage() -> None:
    stage = rest("/docs", "/prod/docs", "/{proxy+}", proxy="docs")
    mapping = rest("/v1/docs", "/v1/docs", "/{proxy+}", proxy="docs")
    with Mangum(fastapi_app, root_path="auto") as handler:
        assert "url: '/prod/openapi.json'" in handler(stage, None)["body"]
        assert "url: '/v1/openapi.json'" in handler(mapping, None)["body"]
        schema = handler(rest("/openapi.json", "/prod/openapi.json", "/{proxy+}", proxy="openapi.json"), None)
        assert '"servers":[{"url":"/prod"}]' in schema["body"]
        item = handler(rest("/items/1", "/prod/items/1", "/{proxy+}", proxy="items/1"), None)
        assert item["body"] == '{"item":"1","url":"https://example.org/prod/items/2"}'


def test_starlettes_mounts_behind_a_stage() -> None:
    def show(request: Request) -> PlainTextResponse:
        return PlainTextResponse(f"{request.url} {request.scope['root_path']} {request.url_for('sub:show')}")

    app = Starlette(routes=[Mount("/sub", routes=[Route("/show", show, name="show")], name="sub")])
    with Mangum(app, root_path="auto") as handler:
        answer = handler(rest("/sub/show", "/prod/sub/show", "/{proxy+}", proxy="sub/show"), None)
        redirect = handler(rest("/sub/show/", "/prod/sub/show/", "/{proxy+}", proxy="sub/show"), None)
    address = "https://example.org/prod/sub/show"
    assert answer["body"] == f"{address} /prod/sub {address}"
    assert (redirect["statusCode"], redirect["headers"]["location"]) == (307, address)


segment = st.text(st.characters(codec="utf-8"), min_size=1).map(lambda text: quote(text, safe=""))


@given(prefix=st.lists(segment, min_size=1, max_size=3), rest_of_path=st.lists(segment, max_size=3))
def test_stripping_undoes_placing(prefix: list[str], rest_of_path: list[str]) -> None:
    base, rest_path = "/" + "/".join(prefix), "/" + "/".join(rest_of_path)
    if "%2F" in base:
        return
    stripped = strip_prefix(unquote(base + rest_path), (base + rest_path).encode(), unquote(base), b"\x00")
    assert stripped == (unquote(rest_path), rest_path.encode())


def test_words_about_paths() -> None:
    assert is_below("/api", "/api")
    assert is_below("/api/x", "/api")
    assert not is_below("/apiary", "/api")
    assert trailing_match("/prod/x/", "/x") == "/prod"
    assert trailing_match("/prod/x", "/y") is None
