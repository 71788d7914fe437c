"""AWS events to ASGI and back: pure translation, one file a front door."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mangum.handlers.base import HTTPHandler
from mangum.handlers.sources import Source

if TYPE_CHECKING:
    from mangum.handlers.alb import ALB
    from mangum.handlers.api_gateway import APIGateway, HTTPGateway
    from mangum.handlers.function_url import FunctionURL
    from mangum.handlers.lambda_at_edge import LambdaAtEdge
    from mangum.handlers.vpc_lattice import VPCLattice

__all__ = [
    "ALB",
    "LOADED",
    "APIGateway",
    "FunctionURL",
    "HTTPGateway",
    "HTTPHandler",
    "LambdaAtEdge",
    "VPCLattice",
    "handler_class",
]

# A function has one front door as a rule, and without bytecode the others' modules take a tenth of `import mangum`.
_MODULES = {
    "ALB": "alb",
    "APIGateway": "api_gateway",
    "FunctionURL": "function_url",
    "HTTPGateway": "api_gateway",
    "HTTPGatewayV1": "api_gateway",
    "HTTPGatewayV2": "http_api",
    "LambdaAtEdge": "lambda_at_edge",
    "VPCLattice": "vpc_lattice",
    "VPCLatticeV1": "vpc_lattice",
    "VPCLatticeV2": "vpc_lattice",
}
_CLASSES = {
    Source.REST_API: "APIGateway",
    Source.HTTP_API_V1: "HTTPGatewayV1",
    Source.HTTP_API_V2: "HTTPGatewayV2",
    Source.FUNCTION_URL: "FunctionURL",
    Source.ALB: "ALB",
    Source.LAMBDA_AT_EDGE: "LambdaAtEdge",
    Source.VPC_LATTICE_V1: "VPCLatticeV1",
    Source.VPC_LATTICE_V2: "VPCLatticeV2",
}

LOADED: dict[Source, type[HTTPHandler]] = {}  # those that an event has come for


def handler_class(source: Source) -> type[HTTPHandler] | None:
    """The handler for requests from a source, or `None` if it sends no requests. From then on it is in `LOADED`."""
    name = _CLASSES.get(source)
    if name is None:
        return None
    handler: type[HTTPHandler] = __getattr__(name)
    LOADED[source] = handler
    return handler


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{module}"), name)
