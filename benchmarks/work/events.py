"""What Lambda hands to an adapter: a browser's `GET /hello` as each front door's event, and the context.

The shapes are AWS's: https://docs.aws.amazon.com/lambda/latest/dg/lambda-services.html
"""

from __future__ import annotations

import time
from typing import Any

__all__ = ["SOURCES", "Context", "http_api_post"]

_LIFETIME_MS = 15 * 60 * 1000

_CLIENT = "203.0.113.17"
_TRACE_ID = "Root=1-67f1c2a4-3b5d7e9f1a2b3c4d5e6f7a8b"
_USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/136.0.0.0 Safari/537.36"
_API_HOST = "a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com"
_FUNCTION_URL_HOST = "k3x7v2mnq5r8t1w4y6z9b0c2d5f8h1j4.lambda-url.eu-central-1.on.aws"
_ALB_HOST = "web-1234567890.eu-central-1.elb.amazonaws.com"
_CLOUDFRONT_HOST = "d111111abcdef8.cloudfront.net"
_LATTICE_HOST = "greetings-0a1b2c3d4e5f67890.7d67968.vpc-lattice-svcs.eu-central-1.on.aws"
_LATTICE_ARN = "arn:aws:vpc-lattice:eu-central-1:123456789012"

_BROWSER = {
    "accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    "accept-encoding": "gzip, deflate, br, zstd",
    "accept-language": "en-GB,en;q=0.9,de;q=0.8",
    "cache-control": "max-age=0",
    "sec-fetch-dest": "document",
    "sec-fetch-mode": "navigate",
    "sec-fetch-site": "none",
    "sec-fetch-user": "?1",
    "upgrade-insecure-requests": "1",
}
_FORWARDED = {
    "x-amzn-trace-id": _TRACE_ID,
    "x-forwarded-for": _CLIENT,
    "x-forwarded-port": "443",
    "x-forwarded-proto": "https",
}


def _headers(host: str) -> dict[str, str]:
    return {"host": host, "user-agent": _USER_AGENT, **_BROWSER, **_FORWARDED}


def _capitalised(host: str) -> dict[str, str]:
    """As payload 1.0 has them: the client's names as sent, which is lower-case in HTTP/2, and AWS's own capitalised."""
    return {
        **_BROWSER,
        "Host": host,
        "User-Agent": _USER_AGENT,
        "X-Amzn-Trace-Id": _TRACE_ID,
        "X-Forwarded-For": _CLIENT,
        "X-Forwarded-Port": "443",
        "X-Forwarded-Proto": "https",
    }


def _lists(headers: dict[str, str]) -> dict[str, list[str]]:
    return {name: [value] for name, value in headers.items()}


_IDENTITY = {
    "accessKey": None,
    "accountId": None,
    "caller": None,
    "cognitoAuthenticationProvider": None,
    "cognitoAuthenticationType": None,
    "cognitoIdentityId": None,
    "cognitoIdentityPoolId": None,
    "principalOrgId": None,
    "sourceIp": _CLIENT,
    "user": None,
    "userAgent": _USER_AGENT,
    "userArn": None,
}

_HTTP_API_V2: dict[str, Any] = {
    "version": "2.0",
    "routeKey": "$default",
    "rawPath": "/hello",
    "rawQueryString": "",
    "headers": {"content-length": "0", **_headers(_API_HOST)},
    "requestContext": {
        "accountId": "123456789012",
        "apiId": "a1b2c3d4e5",
        "domainName": _API_HOST,
        "domainPrefix": "a1b2c3d4e5",
        "http": {
            "method": "GET",
            "path": "/hello",
            "protocol": "HTTP/1.1",
            "sourceIp": _CLIENT,
            "userAgent": _USER_AGENT,
        },
        "requestId": "JKJaXmPLvHcESHA=",
        "routeKey": "$default",
        "stage": "$default",
        "time": "06/Apr/2026:09:17:24 +0000",
        "timeEpoch": 1775467044123,
    },
    "isBase64Encoded": False,
}

_HTTP_API_V1: dict[str, Any] = {
    "version": "1.0",
    "resource": "$default",
    "path": "/hello",
    "httpMethod": "GET",
    "headers": {"Content-Length": "0", **_capitalised(_API_HOST)},
    "multiValueHeaders": _lists({"Content-Length": "0", **_capitalised(_API_HOST)}),
    "queryStringParameters": None,
    "multiValueQueryStringParameters": None,
    "requestContext": {
        "accountId": "123456789012",
        "apiId": "a1b2c3d4e5",
        "domainName": _API_HOST,
        "domainPrefix": "a1b2c3d4e5",
        "extendedRequestId": "JKJaXmPLvHcESHA=",
        "httpMethod": "GET",
        "identity": _IDENTITY,
        "path": "/hello",
        "protocol": "HTTP/1.1",
        "requestId": "JKJaXmPLvHcESHA=",
        "requestTime": "06/Apr/2026:09:17:24 +0000",
        "requestTimeEpoch": 1775467044123,
        "resourceId": None,
        "resourcePath": "$default",
        "stage": "$default",
    },
    "pathParameters": None,
    "stageVariables": None,
    "body": None,
    "isBase64Encoded": False,
}

_REST_API: dict[str, Any] = {
    "resource": "/{proxy+}",
    "path": "/hello",
    "httpMethod": "GET",
    "headers": _capitalised(_API_HOST),
    "multiValueHeaders": _lists(_capitalised(_API_HOST)),
    "queryStringParameters": None,
    "multiValueQueryStringParameters": None,
    "pathParameters": {"proxy": "hello"},
    "stageVariables": None,
    "requestContext": {
        "resourceId": "x7k2q9",
        "resourcePath": "/{proxy+}",
        "httpMethod": "GET",
        "extendedRequestId": "JKJaXmPLvHcESHA=",
        "requestTime": "06/Apr/2026:09:17:24 +0000",
        "path": "/live/hello",
        "accountId": "123456789012",
        "protocol": "HTTP/1.1",
        "stage": "live",
        "domainPrefix": "a1b2c3d4e5",
        "requestTimeEpoch": 1775467044123,
        "requestId": "5b1c9d3e-2f4a-4c6b-8d7e-9f0a1b2c3d4e",
        "identity": _IDENTITY,
        "domainName": _API_HOST,
        "apiId": "a1b2c3d4e5",
    },
    "body": None,
    "isBase64Encoded": False,
}

_FUNCTION_URL: dict[str, Any] = {
    "version": "2.0",
    "routeKey": "$default",
    "rawPath": "/hello",
    "rawQueryString": "",
    "headers": {
        **_headers(_FUNCTION_URL_HOST),
        "x-amzn-tls-cipher-suite": "TLS_AES_128_GCM_SHA256",
        "x-amzn-tls-version": "TLSv1.3",
    },
    "requestContext": {
        "accountId": "anonymous",
        "apiId": "k3x7v2mnq5r8t1w4y6z9b0c2d5f8h1j4",
        "domainName": _FUNCTION_URL_HOST,
        "domainPrefix": "k3x7v2mnq5r8t1w4y6z9b0c2d5f8h1j4",
        "http": {
            "method": "GET",
            "path": "/hello",
            "protocol": "HTTP/1.1",
            "sourceIp": _CLIENT,
            "userAgent": _USER_AGENT,
        },
        "requestId": "5b1c9d3e-2f4a-4c6b-8d7e-9f0a1b2c3d4e",
        "routeKey": "$default",
        "stage": "$default",
        "time": "06/Apr/2026:09:17:24 +0000",
        "timeEpoch": 1775467044123,
    },
    "isBase64Encoded": False,
}

_ELB = {
    "elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/web/50dc6c495c0c9188"}
}

_ALB: dict[str, Any] = {
    "requestContext": _ELB,
    "httpMethod": "GET",
    "path": "/hello",
    "queryStringParameters": {},
    "headers": _headers(_ALB_HOST),
    "body": "",
    "isBase64Encoded": False,
}

_ALB_MULTI_VALUE: dict[str, Any] = {
    "requestContext": _ELB,
    "httpMethod": "GET",
    "path": "/hello",
    "multiValueQueryStringParameters": {},
    "multiValueHeaders": _lists(_headers(_ALB_HOST)),
    "body": "",
    "isBase64Encoded": False,
}

# A viewer request: what the browser sent, before CloudFront adds anything.
_LAMBDA_AT_EDGE: dict[str, Any] = {
    "Records": [
        {
            "cf": {
                "config": {
                    "distributionDomainName": _CLOUDFRONT_HOST,
                    "distributionId": "EDFDVBD6EXAMPLE",
                    "eventType": "viewer-request",
                    "requestId": "4TyzHTaYWb1GX1qTfsHhEqV6HUDd_BzoBZnwfnvQc_1oF26ClkoUSEQ==",
                },
                "request": {
                    "clientIp": _CLIENT,
                    "headers": {
                        name: [{"key": name.title(), "value": value}]
                        for name, value in {
                            "host": _CLOUDFRONT_HOST,
                            "user-agent": _USER_AGENT,
                            **_BROWSER,
                            "sec-ch-ua": '"Chromium";v="136", "Not.A/Brand";v="99"',
                            "sec-ch-ua-mobile": "?0",
                            "sec-ch-ua-platform": '"Linux"',
                        }.items()
                    },
                    "method": "GET",
                    "querystring": "",
                    "uri": "/hello",
                },
            }
        }
    ]
}

_VPC_LATTICE_V1: dict[str, Any] = {
    "raw_path": "/hello",
    "method": "GET",
    "headers": _headers(_LATTICE_HOST),
    "query_string_parameters": {},
    "body": "",
    "is_base64_encoded": False,
}

_VPC_LATTICE_V2: dict[str, Any] = {
    "version": "2.0",
    "path": "/hello",
    "method": "GET",
    "headers": _lists(_headers(_LATTICE_HOST)),
    "queryStringParameters": {},
    "isBase64Encoded": False,
    "requestContext": {
        "serviceNetworkArn": f"{_LATTICE_ARN}:servicenetwork/sn-0bf3f2882e9cc805a",
        "serviceArn": f"{_LATTICE_ARN}:service/svc-0a40eebed65f8d69c",
        "targetGroupArn": f"{_LATTICE_ARN}:targetgroup/tg-6d0ecf831eec9f09",
        "identity": {"sourceVpcArn": "arn:aws:ec2:eu-central-1:123456789012:vpc/vpc-0b8276c84697e7339"},
        "region": "eu-central-1",
        "timeEpoch": "1775467044123456",
    },
}

SOURCES: dict[str, dict[str, Any]] = {
    "HTTP API 2.0": _HTTP_API_V2,
    "HTTP API 1.0": _HTTP_API_V1,
    "REST API": _REST_API,
    "Function URL": _FUNCTION_URL,
    "ALB": _ALB,
    "ALB multi-value": _ALB_MULTI_VALUE,
    "Lambda@Edge": _LAMBDA_AT_EDGE,
    "VPC Lattice v1": _VPC_LATTICE_V1,
    "VPC Lattice v2": _VPC_LATTICE_V2,
}


def http_api_post(body: str, *, is_base64: bool, content_type: str, content_length: int) -> dict[str, Any]:
    """A `POST /hello` with a body of `content_length` bytes, as an HTTP API with payload 2.0 hands it over."""
    context = _HTTP_API_V2["requestContext"]
    return {
        **_HTTP_API_V2,
        "headers": {
            **_HTTP_API_V2["headers"],
            "content-length": str(content_length),
            "content-type": content_type,
        },
        "requestContext": {**context, "http": {**context["http"], "method": "POST"}},
        "body": body,
        "isBase64Encoded": is_base64,
    }


class Context:
    """Lambda's context, as far as adapters ask it. The deadline is 15 minutes ahead of when it was made, Lambda's
    longest, and the remaining time is computed from the wall clock, as Lambda's own context does."""

    def __init__(self) -> None:
        self._deadline_ms = int(time.time() * 1000) + _LIFETIME_MS

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the deadline, or 0 after it."""
        remaining_ms = self._deadline_ms - int(time.time() * 1000)
        return remaining_ms if remaining_ms > 0 else 0
