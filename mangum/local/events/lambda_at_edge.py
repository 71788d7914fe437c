"""Lambda@Edge: https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/lambda-event-structure.html"""

from __future__ import annotations

import base64
from typing import Any

from mangum.local.events.requests import API_ID, DEFAULT, EventSettings, HTTPRequest, request_id

__all__ = ["origin_request_event", "viewer_request_event"]


def viewer_request_event(request: HTTPRequest, settings: EventSettings = DEFAULT) -> dict[str, Any]:
    """What CloudFront asks when a viewer's request comes in."""
    return _event(request, "viewer-request")


def origin_request_event(request: HTTPRequest, settings: EventSettings = DEFAULT) -> dict[str, Any]:
    """What CloudFront asks before it goes to the origin."""
    event = _event(request, "origin-request")
    event["Records"][0]["cf"]["request"]["origin"] = {
        "custom": {
            "customHeaders": {},
            "domainName": "example.com",
            "keepaliveTimeout": 5,
            "path": "",
            "port": 443,
            "protocol": "https",
            "readTimeout": 30,
            "sslProtocols": ["TLSv1.2"],
        }
    }
    return event


def _event(request: HTTPRequest, event_type: str) -> dict[str, Any]:
    headers: dict[str, list[dict[str, str]]] = {}
    for name, value in request.headers:
        headers.setdefault(name.lower(), []).append({"key": name, "value": value})
    cf_request: dict[str, Any] = {
        "clientIp": request.client,
        "headers": headers,
        "method": request.method,
        "querystring": request.query_string,
        "uri": request.path,
    }
    if request.body:
        cf_request["body"] = {
            "inputTruncated": False,
            "action": "read-only",
            "encoding": "base64",
            "data": base64.b64encode(request.body).decode("ascii"),
        }
    config = {
        "distributionDomainName": f"{API_ID}.cloudfront.net",
        "distributionId": API_ID.upper(),
        "eventType": event_type,
        "requestId": request_id(),
    }
    return {"Records": [{"cf": {"config": config, "request": cf_request}}]}
