"""The server of `mangum dev`."""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from mangum.exceptions import ConfigurationError
from mangum.local.function import Function, FunctionSettings
from mangum.local.gateway import Gateway, HTTPFront
from mangum.local.in_process import InProcess
from mangum.local.invocations import Journal

__all__ = ["ServerSettings", "serve"]


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """What `mangum dev` was told."""

    target: str
    source: str = "http-api"
    host: str = "127.0.0.1"
    port: int = 8000
    timeout_s: float = 30.0


def serve(settings: ServerSettings, report: Callable[[str], None]) -> None:
    """Serve the function until SIGINT or SIGTERM. `report` is given a line once it listens, and one a request.

    Raises:
        ConfigurationError: `target` names no handler, or the address cannot be had.
    """
    with _listen(settings.host, settings.port) as listener, tempfile.TemporaryDirectory(prefix="mangum-") as folder:
        environment = {} if os.environ.get("MANGUM_DSN") else {"MANGUM_DSN": f"sqlite://{folder}/connections.db"}
        function = InProcess(
            FunctionSettings(
                target=settings.target, folder=Path.cwd(), timeout_s=settings.timeout_s, environment=environment
            )
        )
        asyncio.run(_serve(function, settings, listener, report))


async def _serve(
    function: Function, settings: ServerSettings, listener: socket.socket, report: Callable[[str], None]
) -> None:
    async with function:
        gateway = Gateway(HTTPFront(function, settings.source, Journal(), report))
        config = uvicorn.Config(gateway, log_level="warning", lifespan="off", server_header=False, date_header=False)
        name = f"[{settings.host}]" if ":" in settings.host else settings.host
        report(
            f"{settings.target} as {settings.source}: http://{name}:{listener.getsockname()[1]} (Ctrl-C to stop)"
        )
        await uvicorn.Server(config).serve(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            f"Cannot listen on {host}:{port}: {error.strerror or error}. Choose another with --port (0: any free one)."
        ) from None
    return listener
