"""VPC Lattice: https://docs.aws.amazon.com/vpc-lattice/latest/ug/lambda-functions.html"""

from __future__ import annotations

from typing import Any

from mangum.local.events.requests import (
    ACCOUNT_ID,
    DEFAULT,
    REGION,
    EventSettings,
    HTTPRequest,
    body_by_type_and_encoding,
    decoded_query,
    lists,
    now_ms,
)

__all__ = ["vpc_lattice_v1_event", "vpc_lattice_v2_event"]


def vpc_lattice_v1_event(request: HTTPRequest, settings: EventSettings = DEFAULT) -> dict[str, Any]:
    """Version 1: the query in the path, repeated headers joined."""
    body, is_base64 = body_by_type_and_encoding(request)
    return {
        "raw_path": request.target,
        "method": request.method,
        "headers": {name: ", ".join(values) for name, values in _headers(request).items()},
        "query_string_parameters": {name: values[-1] for name, values in decoded_query(request.query_string).items()},
        "body": body,
        "is_base64_encoded": is_base64,
    }


def vpc_lattice_v2_event(request: HTTPRequest, settings: EventSettings = DEFAULT) -> dict[str, Any]:
    """Version 2: the query in the path, headers as lists."""
    body, is_base64 = body_by_type_and_encoding(request)
    arn = f"arn:aws:vpc-lattice:{REGION}:{ACCOUNT_ID}"
    return {
        "version": "2.0",
        "path": request.target,
        "method": request.method,
        "headers": _headers(request),
        "queryStringParameters": decoded_query(request.query_string),
        "body": body,
        "isBase64Encoded": is_base64,
        "requestContext": {
            "serviceNetworkArn": f"{arn}:servicenetwork/sn-0mangum",
            "serviceArn": f"{arn}:service/svc-0mangum",
            "targetGroupArn": f"{arn}:targetgroup/tg-0mangum",
            "identity": {"sourceVpcArn": f"arn:aws:ec2:{REGION}:{ACCOUNT_ID}:vpc/vpc-0mangum"},
            "region": REGION,
            "timeEpoch": str(now_ms() * 1000),
        },
    }


def _headers(request: HTTPRequest) -> dict[str, list[str]]:
    forwarded = ("x-forwarded-for", request.client)
    return lists((name.lower(), value) for name, value in [*request.headers, forwarded])
