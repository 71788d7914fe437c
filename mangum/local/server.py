"""The server of `mangum dev`."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn

from mangum.exceptions import ConfigurationError
from mangum.local.gateway import Gateway
from mangum.local.loading import load_handler

__all__ = ["serve"]


def serve(target: str, *, source: str, host: str, port: int, timeout_s: float, report: Callable[[str], None]) -> None:
    """Serve what `target` names until SIGINT or SIGTERM. `report` is given a line once it listens, and one a request.

    Raises:
        ConfigurationError: `target` names no handler, or the address cannot be had.
    """
    gateway = Gateway(load_handler(target), source, timeout_s=timeout_s, report=report)
    with _listen(host, port) as listener:
        config = uvicorn.Config(gateway.app, log_level="warning", lifespan="on", server_header=False, date_header=False)
        name = f"[{host}]" if ":" in host else host
        report(f"{target} as {source}: http://{name}:{listener.getsockname()[1]} (Ctrl-C to stop)")
        uvicorn.Server(config).run(sockets=[listener])


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
