"""What `mangum dev` was told."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from mangum.local.events.requests import EventSettings
from mangum.local.function import FunctionSettings

__all__ = ["ServerSettings"]


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """The options of `mangum dev`, with its defaults. Times are in seconds."""

    target: str  # "module:attribute"
    folder: Path  # of the function's code
    host: str = "127.0.0.1"
    port: int = 8000  # 0: any free one
    has_dashboard: bool = True

    source: str = "http-api"
    stage: str | None = None
    base_path: str = ""
    multi_value_headers: bool = False
    integration_timeout_s: float | None = None  # `None`: the front door's own

    timeout_s: float = 30.0  # 0: none
    memory_mb: int = 1769
    reloads: bool = True

    dsn: str | None = None  # `None`: a temporary SQLite file

    @property
    def event_settings(self) -> EventSettings:
        """The front door's part."""
        return EventSettings(stage=self.stage, base_path=self.base_path, multi_value_headers=self.multi_value_headers)

    def function_settings(self, dsn: str) -> FunctionSettings:
        """The function's part, with the store that it is to use."""
        return FunctionSettings(
            target=self.target,
            folder=self.folder,
            memory_mb=self.memory_mb,
            timeout_s=self.timeout_s,
            region=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1",
            environment={"MANGUM_DSN": dsn},
        )
