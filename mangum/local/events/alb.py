"""Application Load Balancers: https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html"""

from __future__ import annotations

from typing import Any

from mangum.local.events.requests import (
    ACCOUNT_ID,
    DEFAULT,
    REGION,
    EventSettings,
    HTTPRequest,
    body_by_type_and_encoding,
    forwarded_headers,
    lists,
)

__all__ = ["alb_event"]


def alb_event(request: HTTPRequest, settings: EventSettings = DEFAULT) -> dict[str, Any]:
    """Path and query as they were sent; of what is repeated the last, or all with multi-value headers."""
    pairs = forwarded_headers(request, str.lower)
    query = _quoted_query(request.query_string)
    event: dict[str, Any] = {
        "requestContext": {
            "elb": {"targetGroupArn": f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT_ID}:targetgroup/mangum/0"}
        },
        "httpMethod": request.method,
        "path": request.path,
    }
    if settings.multi_value_headers:
        event |= {"multiValueQueryStringParameters": lists(query), "multiValueHeaders": lists(pairs)}
    else:
        event |= {"queryStringParameters": dict(query), "headers": dict(pairs)}
    event["body"], event["isBase64Encoded"] = body_by_type_and_encoding(request)
    return event


def _quoted_query(query_string: str) -> list[tuple[str, str]]:
    parts = (part.partition("=") for part in query_string.split("&") if part)
    return [(name, value) for name, _, value in parts]
