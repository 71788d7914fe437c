"""A request as the event that AWS makes of it, for each front door.

The inverse of `mangum.handlers`: what the formats are is said there and in AWS's documentation, to which the handlers'
modules point.
"""

from __future__ import annotations

import base64
import time
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, unquote

from mangum.local.requests import HOP_BY_HOP, HTTPRequest
from mangum.media_types import media_type

__all__ = ["EVENT_BUILDERS", "alb_event", "function_url_event", "http_api_event", "rest_api_event"]

ACCOUNT_ID = "123456789012"
API_ID = "mangumdev0"
REGION = "us-east-1"

_TEXT_TYPES = ("application/json", "application/xml", "application/javascript")


def http_api_event(request: HTTPRequest) -> dict[str, Any]:
    """An HTTP API with payload format 2.0 and the stage `$default`: the path decoded, the cookies taken out."""
    domain = f"{API_ID}.execute-api.{REGION}.amazonaws.com"
    event = _payload_v2(request, domain, unquote(request.path))
    event["headers"].pop("cookie", None)
    return event


def function_url_event(request: HTTPRequest) -> dict[str, Any]:
    """A Function URL: as an HTTP API, but with the path as it was sent, and with the Cookie header."""
    return _payload_v2(request, f"{API_ID}.lambda-url.{REGION}.on.aws", request.path)


def _payload_v2(request: HTTPRequest, domain: str, raw_path: str) -> dict[str, Any]:
    headers: dict[str, str] = {}
    for name, value in _with_forwarded(request, str.lower):
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": raw_path,
        "rawQueryString": request.query_string,
        "headers": headers,
        "requestContext": {
            "accountId": ACCOUNT_ID,
            "apiId": API_ID,
            "domainName": domain,
            "domainPrefix": API_ID,
            "http": {
                "method": request.method,
                "path": unquote(request.path),
                "protocol": "HTTP/1.1",
                "sourceIp": request.client,
                "userAgent": next(iter(request.values("user-agent")), ""),
            },
            "requestId": str(uuid.uuid4()),
            "routeKey": "$default",
            "stage": "$default",
            "time": _request_time(),
            "timeEpoch": _now_ms(),
        },
        "isBase64Encoded": False,
    }
    cookies = [cookie for value in request.values("cookie") for cookie in value.split("; ")]
    if cookies:
        event["cookies"] = cookies
        headers["cookie"] = "; ".join(cookies)
    if request.query_string:
        event["queryStringParameters"] = {
            name: ",".join(values) for name, values in _decoded_query(request.query_string).items()
        }
    if request.body:
        content_types = request.values("content-type")
        text = bool(content_types) and _is_text(content_types[0])
        event["body"], event["isBase64Encoded"] = _body(request.body, text=text)
    return event


def rest_api_event(request: HTTPRequest) -> dict[str, Any]:
    """A REST API with a greedy proxy resource, behind a custom domain that is mapped to its stage, so that no stage is
    in the path: the path as it was sent, the query decoded.

    A body that is UTF-8 comes as text, as without binary media types; another as base64, as with them.
    """
    pairs = [pair for pair in _with_forwarded(request, str) if pair[0].lower() != "content-length"]
    query = _decoded_query(request.query_string)
    proxied = request.path.strip("/")
    resource = "/{proxy+}" if proxied else "/"
    body, is_base64 = _body(request.body, text=True)
    return {
        "resource": resource,
        "path": request.path,
        "httpMethod": request.method,
        "headers": dict(pairs),
        "multiValueHeaders": _lists(pairs),
        "queryStringParameters": {name: values[-1] for name, values in query.items()} or None,
        "multiValueQueryStringParameters": query or None,
        "pathParameters": {"proxy": proxied} if proxied else None,
        "stageVariables": None,
        "requestContext": {
            "accountId": ACCOUNT_ID,
            "apiId": API_ID,
            "domainName": f"{API_ID}.execute-api.{REGION}.amazonaws.com",
            "domainPrefix": API_ID,
            "extendedRequestId": "mangumdev=",
            "httpMethod": request.method,
            "identity": {
                "sourceIp": request.client,
                "userAgent": next(iter(request.values("user-agent")), None),
            },
            "path": request.path,
            "protocol": "HTTP/1.1",
            "requestId": str(uuid.uuid4()),
            "requestTime": _request_time(),
            "requestTimeEpoch": _now_ms(),
            "resourceId": "mangum",
            "resourcePath": resource,
            "stage": "dev",
        },
        "body": body if request.body else None,
        "isBase64Encoded": is_base64,
    }


def alb_event(request: HTTPRequest) -> dict[str, Any]:
    """An Application Load Balancer without multi-value headers: path and query as they were sent, of what is repeated
    the last."""
    content_types = request.values("content-type")
    text = not request.values("content-encoding") and bool(content_types) and _is_text(content_types[0])
    body, is_base64 = _body(request.body, text=text)
    return {
        "requestContext": {
            "elb": {"targetGroupArn": f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT_ID}:targetgroup/mangum/0"}
        },
        "httpMethod": request.method,
        "path": request.path,
        "queryStringParameters": dict(_quoted_query(request.query_string)),
        "headers": dict(_with_forwarded(request, str.lower)),
        "body": body,
        "isBase64Encoded": is_base64,
    }


EVENT_BUILDERS: dict[str, Callable[[HTTPRequest], dict[str, Any]]] = {
    "http-api": http_api_event,
    "rest-api": rest_api_event,
    "function-url": function_url_event,
    "alb": alb_event,
}


def _with_forwarded(request: HTTPRequest, spell: Callable[[str], str]) -> list[tuple[str, str]]:
    """The request's headers, and those that AWS adds; a client's X-Forwarded-For is continued."""
    added = {
        "X-Forwarded-For": ", ".join([*request.values("x-forwarded-for"), request.client]),
        "X-Forwarded-Port": str(request.port),
        "X-Forwarded-Proto": request.scheme,
        "X-Amzn-Trace-Id": f"Root=1-{int(time.time()):08x}-{uuid.uuid4().hex[:24]}",
    }
    replaced = HOP_BY_HOP.union(name.lower() for name in added)
    kept = [(spell(name), value) for name, value in request.headers if name.lower() not in replaced]
    return [*kept, *((spell(name), value) for name, value in added.items())]


def _lists(pairs: list[tuple[str, str]]) -> dict[str, list[str]]:
    lists: dict[str, list[str]] = {}
    for name, value in pairs:
        lists.setdefault(name, []).append(value)
    return lists


def _decoded_query(query_string: str) -> dict[str, list[str]]:
    return _lists(parse_qsl(query_string, keep_blank_values=True))


def _quoted_query(query_string: str) -> list[tuple[str, str]]:
    parts = (part.partition("=") for part in query_string.split("&") if part)
    return [(name, value) for name, _, value in parts]


def _is_text(content_type: str) -> bool:
    name = media_type(content_type)
    return name.startswith("text/") or name in _TEXT_TYPES


def _body(body: bytes, *, text: bool) -> tuple[str, bool]:
    if text:
        try:
            return body.decode(), False
        except UnicodeDecodeError:
            pass
    return (base64.b64encode(body).decode("ascii"), True) if body else ("", False)


def _request_time() -> str:
    return time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime())


def _now_ms() -> int:
    return int(time.time() * 1000)
