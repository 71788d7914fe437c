"""AWS events to ASGI and back: pure translation, one file a front door."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from mangum.handlers.base import HTTPHandler
from mangum.handlers.sources import Source

if TYPE_CHECKING:
    from mangum.handlers.alb import ALB
    from mangum.handlers.api_gateway import APIGateway, HTTPGateway
    from mangum.handlers.lambda_at_edge import LambdaAtEdge

__all__ = ["ALB", "APIGateway", "HTTPGateway", "HTTPHandler", "LambdaAtEdge", "handler_class"]

# The handler of each source of requests, and the names that mangum 0.22 exports. A function usually has one front door,
# so a module is loaded with the first event that needs it. That shortens the cold start.
_HANDLERS: dict[Source | str, str] = {
    Source.REST_API: "api_gateway:APIGateway",
    Source.HTTP_API_V1: "api_gateway:HTTPGatewayV1",
    Source.HTTP_API_V2: "http_api:HTTPGatewayV2",
    Source.FUNCTION_URL: "function_url:FunctionURL",
    Source.ALB: "alb:ALB",
    Source.LAMBDA_AT_EDGE: "lambda_at_edge:LambdaAtEdge",
    Source.VPC_LATTICE_V1: "vpc_lattice:VPCLatticeV1",
    Source.VPC_LATTICE_V2: "vpc_lattice:VPCLatticeV2",
    "ALB": "alb:ALB",
    "APIGateway": "api_gateway:APIGateway",
    "HTTPGateway": "api_gateway:HTTPGateway",
    "LambdaAtEdge": "lambda_at_edge:LambdaAtEdge",
}


@cache
def handler_class(source: Source | str) -> type[HTTPHandler] | None:
    """The handler for requests from a source, or `None` if the source sends no requests."""
    place = _HANDLERS.get(source)
    if place is None:
        return None
    module, _, name = place.partition(":")
    handler: type[HTTPHandler] = getattr(import_module(f"{__name__}.{module}"), name)
    return handler


def __getattr__(name: str) -> Any:
    handler = handler_class(name)
    if handler is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return handler
