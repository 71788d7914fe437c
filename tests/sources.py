"""Every front door, both ways: a request as its event, and its answer as the response that a client gets."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from mangum.local.answers import HTTPResponse, read_alb, read_payload_v1, read_payload_v2
from mangum.local.events import alb_event, function_url_event, http_api_event, rest_api_event
from mangum.local.requests import HTTPRequest


def http_api_v1_event(request: HTTPRequest) -> dict[str, Any]:
    event = rest_api_event(request)
    event |= {"version": "1.0", "path": unquote(request.path)}
    event["requestContext"] |= {"path": unquote(request.path), "stage": "$default", "resourceId": None}
    return event


def alb_multi_event(request: HTTPRequest) -> dict[str, Any]:
    event = alb_event(request)
    headers: dict[str, list[str]] = {}
    for name, value in request.headers:
        headers.setdefault(name.lower(), []).append(value)
    added = {name: [value] for name, value in event.pop("headers").items() if name not in headers}
    query: dict[str, list[str]] = {}
    for part in filter(None, request.query_string.split("&")):
        name, _, value = part.partition("=")
        query.setdefault(name, []).append(value)
    del event["queryStringParameters"]
    return event | {"multiValueHeaders": headers | added, "multiValueQueryStringParameters": query}


def edge_event(request: HTTPRequest, event_type: str = "origin-request") -> dict[str, Any]:
    headers: dict[str, list[dict[str, str]]] = {}
    for name, value in request.headers:
        headers.setdefault(name.lower(), []).append({"key": name, "value": value})
    cf_request: dict[str, Any] = {
        "clientIp": request.client,
        "method": request.method,
        "uri": request.path,
        "querystring": request.query_string,
        "headers": headers,
    }
    if request.body:
        cf_request["body"] = {
            "inputTruncated": False,
            "action": "read-only",
            "encoding": "base64",
            "data": base64.b64encode(request.body).decode(),
        }
    return {"Records": [{"cf": {"config": {"eventType": event_type}, "request": cf_request}}]}


def lattice_v1_event(request: HTTPRequest) -> dict[str, Any]:
    headers: dict[str, str] = {}
    for name, value in [*request.headers, ("x-forwarded-for", request.client)]:
        name = name.lower()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return {
        "raw_path": _target(request),
        "method": request.method,
        "headers": headers,
        "query_string_parameters": {},
        "body": base64.b64encode(request.body).decode(),
        "is_base64_encoded": bool(request.body),
    }


def lattice_v2_event(request: HTTPRequest) -> dict[str, Any]:
    headers: dict[str, list[str]] = {}
    for name, value in [*request.headers, ("x-forwarded-for", request.client)]:
        headers.setdefault(name.lower(), []).append(value)
    return {
        "version": "2.0",
        "path": _target(request),
        "method": request.method,
        "headers": headers,
        "body": base64.b64encode(request.body).decode(),
        "isBase64Encoded": bool(request.body),
        "requestContext": {"serviceArn": "arn:aws:vpc-lattice:us-east-2:123456789012:service/svc-0", "region": "x"},
    }


def _target(request: HTTPRequest) -> str:
    return f"{request.path}?{request.query_string}" if request.query_string else request.path


def read_alb_multi(answer: dict[str, Any]) -> HTTPResponse:
    assert "headers" not in answer
    pairs = [(name, value) for name, values in answer["multiValueHeaders"].items() for value in values]
    return answer["statusCode"], pairs, _body(answer["body"], answer["isBase64Encoded"])


def read_edge(answer: dict[str, Any]) -> HTTPResponse:
    assert isinstance(answer["status"], str)
    pairs = [(name, entry["value"]) for name, entries in answer["headers"].items() for entry in entries]
    return int(answer["status"]), pairs, _body(answer["body"], answer["bodyEncoding"] == "base64")


def _body(body: str, is_base64: bool) -> bytes:
    return base64.b64decode(body, validate=True) if is_base64 else body.encode()


@dataclass(frozen=True)
class FrontDoor:
    name: str
    event: Callable[[HTTPRequest], dict[str, Any]]
    read: Callable[[Any], HTTPResponse]
    decodes_path: bool = False  # it hands the path over decoded
    decodes_query: bool = False  # it hands the query over decoded, and keeps the order of a key's values only
    joins_headers: str | None = None  # it joins repeated request headers so
    keeps_last: bool = False  # of a repeated header or query key, the last value alone


FRONT_DOORS = [
    FrontDoor("rest-api", rest_api_event, read_payload_v1, decodes_query=True),
    FrontDoor("http-api-1.0", http_api_v1_event, read_payload_v1, decodes_path=True, decodes_query=True),
    FrontDoor("http-api-2.0", http_api_event, read_payload_v2, decodes_path=True, joins_headers=","),
    FrontDoor("function-url", function_url_event, read_payload_v2, joins_headers=","),
    FrontDoor("alb", alb_event, read_alb, keeps_last=True),
    FrontDoor("alb-multi", alb_multi_event, read_alb_multi),
    FrontDoor("lambda-at-edge", edge_event, read_edge),
    FrontDoor("vpc-lattice-1", lattice_v1_event, read_alb, joins_headers=", "),
    FrontDoor("vpc-lattice-2", lattice_v2_event, read_alb),
]
BY_NAME = {door.name: door for door in FRONT_DOORS}
