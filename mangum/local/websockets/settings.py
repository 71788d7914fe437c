"""How a WebSocket API is set up."""

from __future__ import annotations

from dataclasses import dataclass, field

from mangum.local.websockets.routes import Routes

__all__ = ["WebSocketSettings"]


@dataclass(frozen=True, kw_only=True)
class WebSocketSettings:
    """Times are in seconds, with AWS's quotas as defaults:
    https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html
    """

    domain: str  # what the function reaches the API by, with its port
    stage: str = "dev"
    base_path: str = ""  # "/prefix": the mapping of a custom domain to the API
    routes: Routes = field(default_factory=Routes)
    route_responses: bool = False  # whether the body of an answer goes to the client
    integration_timeout_s: float = 29.0
    idle_timeout_s: float = 600.0
    connection_duration_s: float = 7200.0

    @property
    def paths(self) -> list[str]:
        """Where clients connect: API Gateway's URL has nothing but the stage, or the mapping of its domain."""
        return ["/", f"/{self.stage}", *([self.base_path] if self.base_path else [])]
