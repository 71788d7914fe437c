"""The list of invocations, newest first."""

from __future__ import annotations

import time
from collections.abc import Iterable

from mangum.local.dashboard.links import invocation_url
from mangum.local.dashboard.markup import Markup, element, join
from mangum.local.dashboard.payloads import body_of
from mangum.local.dashboard.timing import bar, duration
from mangum.local.invocations import Invocation

__all__ = ["clock", "heading", "matches", "request_name", "row", "rows", "start_badge", "status_badge"]

_MOST_PREVIEWED = 100
_COLUMNS = ("Time", "Request", "Status", "Start", "Duration")


def rows(invocations: Iterable[Invocation], current: Invocation | None = None) -> Markup:
    """The list itself."""
    newest_first = sorted(invocations, key=lambda invocation: invocation.received_at, reverse=True)
    return join(*(row(invocation, is_current=invocation is current) for invocation in newest_first))


def heading() -> Markup:
    """The names of its columns."""
    names = [element("span", name, class_=name.lower()) for name in _COLUMNS]
    return element("div", *names, class_="columns", aria_hidden="true")


def row(invocation: Invocation, *, is_current: bool = False) -> Markup:
    """One invocation in a line, which leads to its details."""
    link = element(
        "a",
        element("time", clock(invocation.received_at), class_="time"),
        element("span", request_name(invocation), _preview(invocation), _again_mark(invocation), class_="request"),
        element("span", status_badge(invocation), class_="status"),
        element("span", start_badge(invocation), class_="start"),
        element("span", bar(invocation), element("span", duration(invocation.duration_ms)), class_="duration"),
        href=invocation_url(invocation.request_id),
        aria_current="true" if is_current else None,
    )
    return element("li", link, data_id=invocation.request_id, data_text=_text(invocation))


def matches(invocation: Invocation, words: str) -> bool:
    """Whether all of the words occur in what can be searched for."""
    text = _text(invocation)
    return all(word in text for word in words.lower().split())


def _text(invocation: Invocation) -> str:
    known = (
        invocation.title,
        invocation.source,
        invocation.request_id,
        invocation.connection_id,
        None if invocation.status is None else str(invocation.status),
        {True: "cold", False: "warm", None: None}[invocation.is_cold],
        None if invocation.failure is None else "failed " + invocation.failure[:200],
    )
    return " ".join(part for part in known if part).lower()


def clock(unix_s: float) -> str:
    """The time of day."""
    return time.strftime("%H:%M:%S", time.localtime(unix_s)) + f".{int(unix_s * 1000) % 1000:03d}"


def request_name(invocation: Invocation) -> Markup:
    """Method and path, or the route, which is what people look for first."""
    method, space, path = invocation.title.partition(" ")
    if space:
        return join(element("b", method, class_="method"), " ", element("span", path, class_="path"))
    return join(
        element("b", "WS" if invocation.connection_id else "", class_="method"),
        " ",
        element("span", method, class_="path"),
    )


def _preview(invocation: Invocation) -> Markup | None:
    """The begin of a WebSocket message: all of a route look the same otherwise."""
    body = body_of(invocation.event) if invocation.connection_id else None
    return element("span", body[:_MOST_PREVIEWED], class_="preview") if isinstance(body, str) else None


def _again_mark(invocation: Invocation) -> Markup | None:
    return (
        None if invocation.again_of is None else element("span", "again", class_="mark", title="Sent again from here")
    )


def status_badge(invocation: Invocation) -> Markup:
    """What the client got."""
    if invocation.status is not None:
        return element("span", str(invocation.status), class_=f"badge s{invocation.status // 100}")
    if invocation.failure is not None:
        return element("span", "failed", class_="badge s5")
    return element("span", "running", class_="badge running")


def start_badge(invocation: Invocation) -> Markup | None:
    """Whether a sandbox was made for it."""
    if invocation.is_cold is None:
        return None
    if not invocation.is_cold:
        return element("span", "warm", class_="quiet")
    told = f"Cold start: {duration(invocation.init_ms)}" if invocation.init_ms is not None else None
    return element("span", "cold", class_="cold", title=told)
