"""What `mangum dev` was told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mangum.local.events.requests import EventSettings
from mangum.local.function import FunctionSettings, own_region
from mangum.local.websockets.routes import DEFAULT_EXPRESSION, Routes
from mangum.local.websockets.settings import WebSocketSettings

__all__ = ["ServerSettings"]

_STAGE = "dev"


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """The options of `mangum dev`, with its defaults. Times are in seconds."""

    target: str  # "module:attribute"
    folder: Path  # of the function's code
    host: str = "127.0.0.1"
    port: int = 8000  # 0: any free one
    allowed_hosts: tuple[str, ...] = ()  # that are answered beside this machine's names
    has_dashboard: bool = True

    source: str = "http-api"
    stage: str | None = None
    base_path: str = ""
    multi_value_headers: bool = False
    integration_timeout_s: float | None = None  # `None`: the front door's own

    routes: tuple[str, ...] = ()  # of the WebSocket API, beside $connect, $default and $disconnect
    has_default_route: bool = True
    route_selection_expression: str = DEFAULT_EXPRESSION
    route_responses: bool = False
    idle_timeout_s: float = 600.0
    connection_duration_s: float = 7200.0

    timeout_s: float = 30.0  # 0: none
    memory_mb: int = 1769
    reloads: bool = True
    workers: int = 0  # processes; 0: none, the function runs in this one
    runtime: str = "mangum"  # that they run
    streams: bool = False  # whether the front door takes streams, and the runtime sends them

    dsn: str | None = None  # `None`: a temporary SQLite file

    @property
    def event_settings(self) -> EventSettings:
        """The front door's part."""
        return EventSettings(stage=self.stage, base_path=self.base_path, multi_value_headers=self.multi_value_headers)

    def websocket_settings(self, domain: str) -> WebSocketSettings:
        """The WebSocket API's part, with the host and port that the function reaches it by.

        Raises:
            ConfigurationError: its routes cannot be.
        """
        return WebSocketSettings(
            domain=domain,
            stage=self.stage or _STAGE,
            base_path=self.event_settings.base_path,
            routes=Routes(self.routes, expression=self.route_selection_expression, default=self.has_default_route),
            route_responses=self.route_responses,
            **({} if self.integration_timeout_s is None else {"integration_timeout_s": self.integration_timeout_s}),
            idle_timeout_s=self.idle_timeout_s,
            connection_duration_s=self.connection_duration_s,
        )

    def function_settings(self, dsn: str) -> FunctionSettings:
        """The function's part, with the store that it is to use."""
        return FunctionSettings(
            target=self.target,
            folder=self.folder,
            memory_mb=self.memory_mb,
            timeout_s=self.timeout_s,
            region=own_region(),
            environment={"MANGUM_DSN": dsn, **({"MANGUM_RESPONSE_MODE": "stream"} if self.streams else {})},
        )
