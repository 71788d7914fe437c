"""HTTP APIs with payload format 2.0, and Function URLs:
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html,
https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from mangum.local.events.requests import (
    ACCOUNT_ID,
    API_DOMAIN,
    API_ID,
    DEFAULT,
    REGION,
    EventSettings,
    HTTPRequest,
    body_by_type,
    decoded_query,
    forwarded_headers,
    now_ms,
    request_id,
    request_time,
)

__all__ = ["function_url_event", "http_api_event"]


def http_api_event(request: HTTPRequest, settings: EventSettings = DEFAULT) -> dict[str, Any]:
    """The path arrives decoded, with the stage if that has a name, and the cookies apart from the headers."""
    path = unquote(settings.staged(request.path))
    event = _event(request, API_DOMAIN, path, path, settings.stage or "$default")
    event["headers"].pop("cookie", None)
    return event


def function_url_event(request: HTTPRequest, settings: EventSettings = DEFAULT) -> dict[str, Any]:
    """The path arrives as it was sent, and the Cookie header stays."""
    domain = f"{API_ID}.lambda-url.{REGION}.on.aws"
    event = _event(request, domain, request.path, unquote(request.path), "$default")
    event["requestContext"]["accountId"] = "anonymous"
    return event


def _event(request: HTTPRequest, domain: str, raw_path: str, path: str, stage: str) -> dict[str, Any]:
    headers: dict[str, str] = {}
    for name, value in forwarded_headers(request, str.lower):
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
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": request.client,
                "userAgent": next(iter(request.values("user-agent")), ""),
            },
            "requestId": request_id(),
            "routeKey": "$default",
            "stage": stage,
            "time": request_time(),
            "timeEpoch": now_ms(),
        },
        "isBase64Encoded": False,
    }
    cookies = [cookie for value in request.values("cookie") for cookie in value.split("; ")]
    if cookies:
        event["cookies"] = cookies
        headers["cookie"] = "; ".join(cookies)
    if request.query_string:
        event["queryStringParameters"] = {
            name: ",".join(values) for name, values in decoded_query(request.query_string).items()
        }
    if request.body:
        event["body"], event["isBase64Encoded"] = body_by_type(request)
    return event
