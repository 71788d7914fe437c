"""The server of `mangum dev`: puts the pieces together, and ends them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from functools import partial

import uvicorn

from mangum.exceptions import ConfigurationError
from mangum.local.dashboard import Dashboard, StoredGroups
from mangum.local.fronts import front_door
from mangum.local.function import Function
from mangum.local.gateway import Gateway
from mangum.local.hosts import AllowedHosts
from mangum.local.http_front import HTTPFront
from mangum.local.in_process import InProcess
from mangum.local.invocations import Invocation, Journal
from mangum.local.printable import QuotedLines, printable
from mangum.local.reload import reload_on_change
from mangum.local.service import LambdaService
from mangum.local.settings import ServerSettings
from mangum.local.websockets.api import WebSocketAPI
from mangum.local.websockets.management import ConnectionsAPI
from mangum.local.workers.pool import RUNTIMES, Workers

__all__ = ["Report", "Server", "listen", "own_domain", "serve"]

# Bytes: https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html
_MOST_MESSAGE_AND_FRAME = (128 * 1024, 32 * 1024)
# For what runs when the server is to end: to be answered, and to be sent.
_LAST_S = 0.5
_GRACE_S = 2

_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}

Report = Callable[[str], None]


def serve(settings: ServerSettings, report: Report) -> None:
    """Serve the function until SIGINT or SIGTERM. `report` is given a line once it listens, and one an event.

    Raises:
        ConfigurationError: `target` names no handler, an allowed host is invalid, or the address cannot be had.
    """
    hosts = AllowedHosts(settings.allowed_hosts, settings.host)
    with (
        _quoted_log(),
        listen(settings.host, settings.port) as listener,
        tempfile.TemporaryDirectory(prefix="mangum-") as folder,
    ):
        dsn = settings.dsn or f"sqlite://{folder}/connections.db"
        asyncio.run(_serve(settings, hosts, dsn, listener, lambda line: report(printable(line))))


@contextlib.contextmanager
def _quoted_log() -> Iterator[None]:
    logger = logging.getLogger("mangum.local")
    quoted = QuotedLines()
    logger.addFilter(quoted)
    try:
        yield
    finally:
        logger.removeFilter(quoted)


async def _serve(
    settings: ServerSettings, hosts: AllowedHosts, dsn: str, listener: socket.socket, report: Report
) -> None:
    door = front_door(
        settings.source, settings.event_settings, settings.integration_timeout_s, streams=settings.streams
    )
    journal = Journal()
    url = _url(settings.host, listener)
    websocket_settings = settings.websocket_settings(own_domain(listener))
    async with AsyncExitStack() as stack:
        function = await stack.enter_async_context(_function(settings, dsn))
        service = await stack.enter_async_context(LambdaService(function))
        http = HTTPFront(door, service, journal, report)
        websockets = WebSocketAPI(websocket_settings, service, journal, report)
        dashboard = None
        report(f"{settings.target} as {settings.source}: {url}{door.prefix} (Ctrl-C to stop)")
        report(f"Its WebSocket API: {url.replace('http', 'ws', 1)}/{websocket_settings.stage}")
        if settings.has_dashboard:
            dashboard = Dashboard(
                journal,
                source=settings.source,
                target=settings.target,
                send_again=partial(_send_again, http, websockets),
                connections=websockets,
                groups=await stack.enter_async_context(StoredGroups(dsn)),
                path=door.prefix or "/",
            )
            report(f"Its invocations: {url}/_mangum")
        connections = ConnectionsAPI(websocket_settings, websockets)
        gateway = Gateway(http, websockets, connections, dashboard, partial(service.stop, _LAST_S), hosts)
        async with asyncio.TaskGroup() as group:
            reloading = (
                group.create_task(reload_on_change(function, settings.folder, report)) if settings.reloads else None
            )
            await Server(gateway).serve(sockets=[listener])
            if reloading is not None:
                reloading.cancel()


def _function(settings: ServerSettings, dsn: str) -> Function:
    own = settings.function_settings(dsn)
    if settings.streams and (not settings.workers or settings.runtime != "mangum"):
        raise ConfigurationError("--stream is what mangum's runtime does: it needs --workers 1 or more.")
    if not settings.workers:
        return InProcess(own)
    return Workers(own, settings.workers, RUNTIMES[settings.runtime](settings.target))


async def _send_again(http: HTTPFront, websockets: WebSocketAPI, invocation: Invocation) -> None:
    front = http if invocation.connection_id is None else websockets
    await front.send_again(invocation)


class Server(uvicorn.Server):
    """uvicorn, whose signals end it and are not sent again: what is around it has an end of its own."""

    def __init__(self, gateway: Gateway) -> None:
        super().__init__(
            uvicorn.Config(
                gateway,
                log_level="warning",
                lifespan="off",
                ws="websockets-sansio",
                ws_max_size=_MOST_MESSAGE_AND_FRAME,  # type: ignore[arg-type] # handed on to websockets, which takes both
                ws_per_message_deflate=False,  # nor does API Gateway
                ws_ping_interval=None,  # nor does it send any
                ws_ping_timeout=None,
                server_header=False,
                date_header=False,
                # Whatever FORWARDED_ALLOW_IPS says: any client could claim to be on this machine, or elsewhere.
                proxy_headers=False,
                timeout_graceful_shutdown=_GRACE_S,
            )
        )
        self._gateway = gateway

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._gateway.close()
        await super().shutdown(sockets)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        ConfigurationError: the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Its protocol has to be named: asyncio sends at once, without waiting to fill a packet, where it is TCP's.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            f"Cannot listen on {host}:{port}: {error.strerror or error}. Choose another with --port (0: any free one)."
        ) from None
    return listener


def own_domain(listener: socket.socket) -> str:
    """How a function on this machine reaches the server, which may listen on all addresses."""
    host, port = listener.getsockname()[:2]
    if host in _ANY_ADDRESS:
        host = _ANY_ADDRESS[host]
    return f"{f'[{host}]' if ':' in host else host}:{port}"


def _url(host: str, listener: socket.socket) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"
