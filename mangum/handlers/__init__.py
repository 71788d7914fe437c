"""AWS events to ASGI and back: pure translation, one file a front door."""

from mangum.handlers.alb import ALB
from mangum.handlers.api_gateway import APIGateway, HTTPGateway, HTTPGatewayV1, HTTPGatewayV2
from mangum.handlers.base import HTTPHandler
from mangum.handlers.function_url import FunctionURL
from mangum.handlers.lambda_at_edge import LambdaAtEdge
from mangum.handlers.sources import Source
from mangum.handlers.vpc_lattice import VPCLattice, VPCLatticeV1, VPCLatticeV2

__all__ = ["ALB", "HANDLERS", "APIGateway", "FunctionURL", "HTTPGateway", "HTTPHandler", "LambdaAtEdge", "VPCLattice"]

HANDLERS: dict[Source, type[HTTPHandler]] = {
    Source.REST_API: APIGateway,
    Source.HTTP_API_V1: HTTPGatewayV1,
    Source.HTTP_API_V2: HTTPGatewayV2,
    Source.FUNCTION_URL: FunctionURL,
    Source.ALB: ALB,
    Source.LAMBDA_AT_EDGE: LambdaAtEdge,
    Source.VPC_LATTICE_V1: VPCLatticeV1,
    Source.VPC_LATTICE_V2: VPCLatticeV2,
}
