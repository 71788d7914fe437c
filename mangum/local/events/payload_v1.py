"""REST APIs, and HTTP APIs with payload format 1.0:
https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

from mangum.local.events.requests import (
    ACCOUNT_ID,
    API_DOMAIN,
    API_ID,
    DEFAULT,
    EventSettings,
    HTTPRequest,
    body_by_type,
    body_field,
    decoded_query,
    forwarded_headers,
    lists,
    now_ms,
    request_id,
    request_time,
)

__all__ = ["http_api_v1_event", "rest_api_event"]

# Headers of a request that a REST API does not hand on, beside the hop-by-hop ones:
# https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-known-issues.html
_NOT_HANDED_ON = frozenset(
    {"content-length", "content-md5", "max-forwards", "proxy-authenticate", "server", "www-authenticate"}
)


def rest_api_event(request: HTTPRequest, settings: EventSettings = DEFAULT) -> dict[str, Any]:
    """A REST API with a greedy proxy resource: the path as it was sent, the query decoded.

    The stage is in no path where a custom domain is mapped to it, which is how `settings` without a stage or with a
    base path are taken. A body that is UTF-8 comes as text, as without binary media types; another as base64.
    """
    pairs = [pair for pair in forwarded_headers(request) if pair[0].lower() not in _NOT_HANDED_ON]
    query_string = request.query_string.replace(";", "&")
    path, whole = _paths(request.path, settings)
    event = _event(request, pairs, query_string, path, whole, settings.stage or "dev")
    proxied = re.sub(r"^/+", "", request.path).rstrip("/")
    resource = "/{proxy+}" if proxied else "/"
    event |= {"resource": resource, "pathParameters": {"proxy": proxied} if proxied else None}
    event["requestContext"] |= {"resourceId": "mangum", "resourcePath": resource}
    event["body"], event["isBase64Encoded"] = body_field(request.body, text=True)
    event["body"] = event["body"] or None
    return event


def http_api_v1_event(request: HTTPRequest, settings: EventSettings = DEFAULT) -> dict[str, Any]:
    """An HTTP API with the older format: path and query decoded, the stage in the path if it has a name."""
    path = unquote(settings.staged(request.path))
    pairs = forwarded_headers(request)
    event = _event(request, pairs, request.query_string, path, path, settings.stage or "$default")
    event |= {"version": "1.0", "resource": "$default", "pathParameters": None}
    event["requestContext"] |= {"resourceId": None, "resourcePath": "$default"}
    event["body"], event["isBase64Encoded"] = body_by_type(request)
    event["body"] = event["body"] or None
    return event


def _paths(path: str, settings: EventSettings) -> tuple[str, str]:
    """`path` and `requestContext.path`. Slashes right after the stage count as one in the former."""
    if settings.base_path:
        path = f"{settings.base_path}{path}" if path != "/" else settings.base_path
        return path, path
    return path if settings.stage is None else re.sub(r"^//+", "/", path), settings.staged(path)


def _event(
    request: HTTPRequest, pairs: list[tuple[str, str]], query_string: str, path: str, whole_path: str, stage: str
) -> dict[str, Any]:
    query = decoded_query(query_string)
    return {
        "path": path,
        "httpMethod": request.method,
        "headers": dict(pairs),
        "multiValueHeaders": lists(pairs),
        "queryStringParameters": {name: values[-1] for name, values in query.items()} or None,
        "multiValueQueryStringParameters": query or None,
        "stageVariables": None,
        "requestContext": {
            "accountId": ACCOUNT_ID,
            "apiId": API_ID,
            "domainName": API_DOMAIN,
            "domainPrefix": API_ID,
            "extendedRequestId": "mangumdev=",
            "httpMethod": request.method,
            "identity": {
                "sourceIp": request.client,
                "userAgent": next(iter(request.values("user-agent")), None),
            },
            "path": whole_path,
            "protocol": "HTTP/1.1",
            "requestId": request_id(),
            "requestTime": request_time(),
            "requestTimeEpoch": now_ms(),
            "stage": stage,
        },
    }
