"""Everything that is known of one invocation."""

from __future__ import annotations

from mangum.local.dashboard.invocation_list import clock, request_name, start_badge, status_badge
from mangum.local.dashboard.links import ROOT, invocation_url, search_url
from mangum.local.dashboard.markup import Markup, element, fact, join
from mangum.local.dashboard.payloads import block, body_of, json_block, parsed, plain_block
from mangum.local.dashboard.timing import bar, duration, legend
from mangum.local.invocations import Invocation

__all__ = ["SOURCES", "detail"]

SOURCES = {
    "http-api": "HTTP API",
    "rest-api": "REST API",
    "function-url": "Function URL",
    "alb": "Application Load Balancer",
    "websocket": "WebSocket API",
}


def detail(invocation: Invocation) -> Markup:
    """What the page shows of an invocation on a click."""
    return element(
        "article",
        element("a", "All invocations", href=ROOT, class_="back"),
        _head(invocation),
        _failure(invocation),
        _time(invocation),
        _log(invocation),
        _response(invocation),
        _event(invocation),
        data_id=invocation.request_id,
    )


def _head(invocation: Invocation) -> Markup:
    again = element(
        "form",
        element("button", "Send again", title="Invoke the function with the same event"),
        method="post",
        action=invocation_url(invocation.request_id, "again"),
        data_quiet=True,
    )
    title = element("h2", request_name(invocation), tabindex="-1")
    badges = element("p", status_badge(invocation), start_badge(invocation), class_="badges")
    return element("header", element("div", title, again, class_="title"), badges, _facts(invocation))


def _facts(invocation: Invocation) -> Markup:
    facts: list[Markup | None] = [
        fact("Received", clock(invocation.received_at)),
        fact("Source", SOURCES.get(invocation.source, invocation.source)),
        fact("Memory", None if invocation.memory_mb is None else f"{invocation.memory_mb:.0f} MB"),
        fact("Connection", _connection(invocation.connection_id)),
        fact("Request id", invocation.request_id, "wide"),
        fact("Again of", _link(invocation.again_of), "wide"),
    ]
    return element("dl", *facts, class_="facts")


def _connection(connection_id: str | None) -> Markup | None:
    if connection_id is None:
        return None
    return element("a", connection_id, href=search_url(connection_id), title="All invocations of this connection")


def _link(request_id: str | None) -> Markup | None:
    return None if request_id is None else element("a", request_id, href=invocation_url(request_id))


def _failure(invocation: Invocation) -> Markup | None:
    if invocation.failure is None:
        return None
    return element("section", element("h3", "Failure"), element("pre", invocation.failure), class_="failure")


def _time(invocation: Invocation) -> Markup | None:
    if invocation.duration_ms is None:
        return None
    heading = element("h3", "Duration ", element("span", duration(invocation.duration_ms), class_="quiet"))
    return element("section", heading, bar(invocation), legend(invocation), class_="timing")


def _log(invocation: Invocation) -> Markup | None:
    if not invocation.lines:
        return None
    text = "\n".join(invocation.lines)
    shown = plain_block(text, invocation_url(invocation.request_id, "log.txt"))
    return element("section", element("h3", "Log"), shown, class_="log")


def _response(invocation: Invocation) -> Markup | None:
    if invocation.answer is None:
        return None
    whole = invocation_url(invocation.request_id, "answer.json")
    answer = parsed(invocation.answer)
    body = body_of(answer)
    return element(
        "section",
        _heading("Response", whole),
        None if body is None else _labelled("Body", block(body, whole)),
        _folded("Answer of the function", json_block(answer, whole), is_open=body is None),
    )


def _event(invocation: Invocation) -> Markup:
    whole = invocation_url(invocation.request_id, "event.json")
    body = body_of(invocation.event)
    return element(
        "section",
        _heading("Request", whole),
        None if body is None else _labelled("Body", block(body, whole)),
        _folded("Event", json_block(invocation.event, whole), is_open=True),
    )


def _heading(name: str, whole: str) -> Markup:
    return element("h3", name, " ", element("a", "JSON", href=whole, class_="whole"))


def _labelled(name: str, content: Markup) -> Markup:
    return join(element("h4", name), content)


def _folded(name: str, content: Markup, *, is_open: bool) -> Markup:
    return element("details", element("summary", name), content, open=is_open)
