"""The open WebSocket connections."""

from __future__ import annotations

import time
from collections.abc import Sequence

from mangum.local.dashboard.connections import OpenConnection
from mangum.local.dashboard.invocation_list import clock
from mangum.local.dashboard.links import ROOT, search_url
from mangum.local.dashboard.markup import Markup, element, fact, join

__all__ = ["connection_list"]


def connection_list(connections: Sequence[OpenConnection], groups: dict[str, list[str]]) -> Markup:
    """Each with its groups, as far as they are known."""
    return join(*(_connection(connection, groups.get(connection.connection_id)) for connection in connections))


def _connection(connection: OpenConnection, groups: list[str] | None) -> Markup:
    connection_id = connection.connection_id
    name = element("h2", element("a", connection_id, href=search_url(connection_id), title="Its invocations"))
    return element(
        "li",
        element("div", name, _close(connection_id), class_="title"),
        _facts(connection, groups),
        _send(connection_id),
        data_id=connection_id,
    )


def _facts(connection: OpenConnection, groups: list[str] | None) -> Markup:
    now = time.time()
    return element(
        "dl",
        fact("Groups", _groups(groups)),
        fact("Connected", clock(connection.connected_at)[:8]),
        fact("Last active", _ago(now - connection.last_active_at)),
        fact("Client", connection.client or None),
        fact("Path", connection.path or None),
        fact("User agent", connection.user_agent or None, "wide"),
        class_="facts",
    )


def _groups(groups: list[str] | None) -> Markup:
    if groups is None:
        return element("span", "not known", class_="quiet")
    if not groups:
        return element("span", "none", class_="quiet")
    return join(*(element("span", group, class_="group") for group in groups))


def _ago(seconds: float) -> str:
    if seconds < 5:
        return "now"
    if seconds < 120:
        return f"{seconds:.0f} s ago"
    return f"{seconds / 60:.0f} min ago"


def _send(connection_id: str) -> Markup:
    return element(
        "form",
        _hidden(connection_id),
        element(
            "input", name="data", aria_label=f"Message to {connection_id}", placeholder="A message", autocomplete="off"
        ),
        element("button", "Send"),
        method="post",
        action=f"{ROOT}/connections/send",
        class_="send",
        data_quiet=True,
    )


def _close(connection_id: str) -> Markup:
    return element(
        "form",
        _hidden(connection_id),
        element("button", "Close", aria_label=f"Close {connection_id}", class_="plain"),
        method="post",
        action=f"{ROOT}/connections/close",
        data_quiet=True,
    )


def _hidden(connection_id: str) -> Markup:
    return element("input", type="hidden", name="connection_id", value=connection_id)
