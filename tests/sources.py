"""Every front door, both ways: a request as its event, and its answer as the response that a client gets."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mangum.local.answers import HTTPResponse, read_alb, read_alb_multi_value, read_payload_v1, read_payload_v2
from mangum.local.events.alb import alb_event
from mangum.local.events.lambda_at_edge import origin_request_event
from mangum.local.events.payload_v1 import http_api_v1_event, rest_api_event
from mangum.local.events.payload_v2 import function_url_event, http_api_event
from mangum.local.events.requests import EventSettings, HTTPRequest
from mangum.local.events.vpc_lattice import vpc_lattice_v1_event, vpc_lattice_v2_event


def alb_multi_event(request: HTTPRequest) -> dict[str, Any]:
    return alb_event(request, EventSettings(multi_value_headers=True))


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
    FrontDoor("alb-multi", alb_multi_event, read_alb_multi_value),
    FrontDoor("lambda-at-edge", origin_request_event, read_edge),
    FrontDoor("vpc-lattice-1", vpc_lattice_v1_event, read_alb, joins_headers=", "),
    FrontDoor("vpc-lattice-2", vpc_lattice_v2_event, read_alb),
]
BY_NAME = {door.name: door for door in FRONT_DOORS}
