"""A request as the event that AWS makes of it, for each front door: the inverse of `mangum.handlers`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from mangum.local.events.alb import alb_event
from mangum.local.events.lambda_at_edge import origin_request_event, viewer_request_event
from mangum.local.events.payload_v1 import http_api_v1_event, rest_api_event
from mangum.local.events.payload_v2 import function_url_event, http_api_event
from mangum.local.events.requests import EventSettings, HTTPRequest
from mangum.local.events.vpc_lattice import vpc_lattice_v1_event, vpc_lattice_v2_event

__all__ = ["EVENT_BUILDERS", "EventBuilder"]

EventBuilder: TypeAlias = Callable[[HTTPRequest, EventSettings], dict[str, Any]]

EVENT_BUILDERS: dict[str, EventBuilder] = {
    "http-api": http_api_event,
    "http-api-v1": http_api_v1_event,
    "rest-api": rest_api_event,
    "function-url": function_url_event,
    "alb": alb_event,
    "viewer-request": viewer_request_event,
    "origin-request": origin_request_event,
    "vpc-lattice": vpc_lattice_v2_event,
    "vpc-lattice-v1": vpc_lattice_v1_event,
}
