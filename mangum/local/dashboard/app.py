"""The page as an ASGI application: which address shows what."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from mangum.local.dashboard.access import LoopbackOnly
from mangum.local.dashboard.connection_list import connection_list
from mangum.local.dashboard.connections import ConnectionsView, Groups
from mangum.local.dashboard.invocation_detail import SOURCES, detail
from mangum.local.dashboard.invocation_list import matches, row, rows
from mangum.local.dashboard.links import ROOT, invocation_url
from mangum.local.dashboard.markup import Markup
from mangum.local.dashboard.page import Frame, connections_page, invocations_page
from mangum.local.dashboard.payloads import encodable, pretty
from mangum.local.dashboard.stream import Stream
from mangum.local.invocations import Invocation, Journal
from mangum.local.printable import printable
from mangum.types import Receive, Scope, Send
from mangum.websocket.management.endpoint import MOST_BYTES

__all__ = ["Dashboard"]

logger: logging.Logger = logging.getLogger("mangum.local")

_MOST_CONNECTIONS = 100
_GROUPS_S = 2.0  # for the groups of all of them
_FOLDER = Path(__file__).parent
_FILES = {
    "dashboard.css": "text/css; charset=utf-8",
    "dashboard.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
_NOTES = {
    "again": "Sent again.",
    "sent": "Sent.",
    "closed": "Closed.",
    "gone": "That connection is not open any more.",
    "too-large": f"API Gateway takes messages of {MOST_BYTES // 1024} KB at the most.",
}


class Dashboard:
    """Everything under /_mangum.

    Args:
        journal: The invocations to show.
        source: The front door: "http-api", ...
        target: What is served, as "module:attribute".
        send_again: Invokes the function anew with the event of an invocation, which goes into the journal as one of
            its own. Returns when that is over, whatever came of it.
        connections: The open WebSocket connections, if there is a WebSocket API.
        groups: Tells the groups of a connection. It may raise: then they are shown as not known.
        path: Where the function answers, below the server's address.
    """

    def __init__(
        self,
        journal: Journal,
        *,
        source: str,
        target: str,
        send_again: Callable[[Invocation], Awaitable[None]],
        connections: ConnectionsView | None = None,
        groups: Groups | None = None,
        path: str = "/",
    ) -> None:
        self._journal = journal
        self._source = SOURCES.get(source, source)
        self._target = target
        self._send_again = send_again
        self._connections = connections
        self._groups = groups
        self._path = path
        self._stream = Stream(journal, self._news)
        self._app = LoopbackOnly(Starlette(routes=self._routes()))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    def close(self) -> None:
        """The server ends: so do the streams."""
        self._stream.close()

    def _routes(self) -> list[Route]:
        invocation = f"{ROOT}/invocations/{{request_id}}"
        routes = [
            Route(ROOT, self._show_list),
            Route(f"{ROOT}/rows", self._show_rows),
            Route(f"{ROOT}/stream", self._show_stream),
            Route(invocation, self._show_invocation),
            Route(f"{invocation}/detail", self._show_detail),
            Route(f"{invocation}/event.json", self._show_event),
            Route(f"{invocation}/answer.json", self._show_answer),
            Route(f"{invocation}/log.txt", self._show_log),
            Route(f"{invocation}/again", self._do_again, methods=["POST"]),
            *(Route(f"{ROOT}/{name}", self._show_file) for name in _FILES),
        ]
        return routes if self._connections is None else routes + self._connection_routes(self._connections)

    # Invocations

    async def _show_list(self, request: Request) -> Response:
        return self._page(request, None)

    async def _show_invocation(self, request: Request) -> Response:
        return self._page(request, self._find(request))

    def _page(self, request: Request, current: Invocation | None) -> Response:
        shown = None if current is None else detail(current)
        return HTMLResponse(
            invocations_page(self._frame(request), self._rows(request, current), shown, _words(request))
        )

    async def _show_rows(self, request: Request) -> Response:
        return HTMLResponse(self._rows(request, None))

    def _rows(self, request: Request, current: Invocation | None) -> Markup:
        words = _words(request)
        return rows((invocation for invocation in self._journal if matches(invocation, words)), current)

    async def _show_stream(self, request: Request) -> Response:
        return StreamingResponse(self._stream.events(), media_type="text/event-stream")

    def _news(self, news: list[Invocation]) -> dict[str, object]:
        changed = [{"id": invocation.request_id, "html": row(invocation)} for invocation in news]
        return {"rows": changed, "connections": self._connections_count()}

    def _connections_count(self) -> int | None:
        return None if self._connections is None else sum(1 for _ in self._connections.connections)

    async def _show_detail(self, request: Request) -> Response:
        return HTMLResponse(detail(self._find(request)))

    async def _show_event(self, request: Request) -> Response:
        return Response(pretty(self._find(request).event), media_type="application/json")

    async def _show_answer(self, request: Request) -> Response:
        return Response(encodable(self._find(request).answer or "null"), media_type="application/json")

    async def _show_log(self, request: Request) -> Response:
        return PlainTextResponse("\n".join(map(printable, self._find(request).lines)))

    async def _do_again(self, request: Request) -> Response:
        invocation = self._find(request)
        await self._send_again(invocation)
        again = [later for later in self._journal if later.again_of == invocation.request_id]
        url = invocation_url((again or [invocation])[-1].request_id)
        return _outcome(request, "again", url)

    def _find(self, request: Request) -> Invocation:
        invocation = self._journal.find(request.path_params["request_id"])
        if invocation is None:
            raise HTTPException(404, "This invocation is not kept any more.")
        return invocation

    # Connections

    def _connection_routes(self, view: ConnectionsView) -> list[Route]:
        async def show(request: Request) -> Response:
            listed, more = await self._listed(view)
            return HTMLResponse(connections_page(self._frame(request), listed, more))

        async def show_list(request: Request) -> Response:
            return HTMLResponse((await self._listed(view))[0])

        async def send(request: Request) -> Response:
            form = await _form(request)
            return _outcome(request, await _send(view, form), f"{ROOT}/connections")

        async def close(request: Request) -> Response:
            await view.close((await _form(request)).get("connection_id", ""))
            return _outcome(request, "closed", f"{ROOT}/connections")

        return [
            Route(f"{ROOT}/connections", show),
            Route(f"{ROOT}/connections/list", show_list),
            Route(f"{ROOT}/connections/send", send, methods=["POST"]),
            Route(f"{ROOT}/connections/close", close, methods=["POST"]),
        ]

    async def _listed(self, view: ConnectionsView) -> tuple[Markup, int]:
        """The connections to show, and how many more there are."""
        everyone = list(view.connections)
        shown = everyone[:_MOST_CONNECTIONS]
        groups = await self._groups_of([connection.connection_id for connection in shown])
        return connection_list(shown, groups), len(everyone) - len(shown)

    async def _groups_of(self, connection_ids: list[str]) -> dict[str, list[str]]:
        """The groups of each, up to the first that the store does not tell in time."""
        known: dict[str, list[str]] = {}
        if self._groups is None:
            return known
        try:
            async with asyncio.timeout(_GROUPS_S):
                for connection_id in connection_ids:
                    known[connection_id] = await self._groups(connection_id)
        except Exception as error:  # whatever a store may raise: the connections are there all the same
            logger.warning("The groups of WebSocket connections are not known: %s", str(error) or "the store is slow")
        return known

    # Every page

    def _frame(self, request: Request) -> Frame:
        return Frame(
            target=self._target,
            source=self._source,
            url=f"{request.url.scheme}://{request.headers['host']}{self._path}",
            invocations=len(self._journal),
            connections=self._connections_count(),
            note=_NOTES.get(request.query_params.get("note", ""), ""),
        )

    async def _show_file(self, request: Request) -> Response:
        name = request.url.path.rpartition("/")[2]
        return Response((_FOLDER / name).read_bytes(), media_type=_FILES[name])


async def _send(view: ConnectionsView, form: dict[str, str]) -> str:
    data = form.get("data", "")
    if len(data.encode()) > MOST_BYTES:
        return "too-large"
    return "sent" if await view.send(form.get("connection_id", ""), data) else "gone"


async def _form(request: Request) -> dict[str, str]:
    fields = parse_qs((await request.body()).decode("utf-8", "replace"), keep_blank_values=True)
    return {name: values[-1] for name, values in fields.items()}


def _words(request: Request) -> str:
    return request.query_params.get("q", "")


def _outcome(request: Request, note: str, url: str) -> Response:
    """A script is told what came of it, a form led to where that shows."""
    if request.headers.get("accept") == "text/plain":
        return PlainTextResponse(_NOTES[note])
    return RedirectResponse(f"{url}?note={note}", 303)
