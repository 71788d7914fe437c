"""The page around what is shown."""

from __future__ import annotations

from dataclasses import dataclass

from mangum.local.dashboard.invocation_list import heading
from mangum.local.dashboard.links import ROOT
from mangum.local.dashboard.markup import Markup, element

__all__ = ["Frame", "connections_page", "invocations_page"]


@dataclass(frozen=True, kw_only=True)
class Frame:
    """What every page shows."""

    target: str
    source: str  # as people call it
    url: str  # where the function answers
    invocations: int
    connections: int | None  # `None`: there are no WebSockets
    note: str = ""  # what came of what was just done


def invocations_page(frame: Frame, rows: Markup, detail: Markup | None, words: str) -> str:
    """The list, and on its right one of them."""
    found = element("ol", rows, id="rows", class_="rows")
    listed = element(
        "section",
        _search(words),
        heading(),
        found,
        _nothing_yet(frame, is_hidden=bool(frame.invocations)),
        element("p", "None of them matches.", class_="empty", id="no-match", hidden=bool(rows) or not words),
        class_="list",
        aria_label="Invocations",
    )
    shown = element("section", detail or _hint(), id="detail", class_="detail", aria_label="Details")
    main = element("main", listed, shown, id="main", data_view="detail" if detail else "list")
    return _page(frame, "Invocations", main)


def connections_page(frame: Frame, connections: Markup, more: int) -> str:
    """The open connections."""
    main = element(
        "main",
        element("ul", connections, id="connections", class_="connections"),
        element("p", f"And {more:,} more.", class_="empty") if more else None,
        _nobody(frame, is_hidden=bool(connections)),
        id="main",
        data_view="connections",
    )
    return _page(frame, "Connections", main)


def _page(frame: Frame, title: str, main: Markup) -> str:
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"{title} · {frame.target} · mangum"),
        element("link", rel="icon", href=f"{ROOT}/icon.svg"),
        element("link", rel="stylesheet", href=f"{ROOT}/dashboard.css"),
        element("script", src=f"{ROOT}/dashboard.js", type="module"),
    )
    skip = element("a", "Skip to the content", href="#main", class_="skip")
    note = element("p", frame.note, id="note", class_="note", role="status", aria_live="polite")
    body = element("body", skip, _bar(frame, title), main, note)
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def _bar(frame: Frame, title: str) -> Markup:
    tabs = [_tab("Invocations", ROOT, frame.invocations, title)]
    if frame.connections is not None:
        tabs.append(_tab("Connections", f"{ROOT}/connections", frame.connections, title))
    name = element("h1", element("span", "mangum", class_="brand"), " ", element("span", frame.target, class_="target"))
    state = element("span", "live", id="live", class_="live", data_state="off", hidden=True)
    where = element("p", element("span", frame.source, class_="quiet"), " ", element("a", frame.url, href=frame.url))
    return element("header", name, element("nav", *tabs, aria_label="Views"), where, state, class_="top")


def _tab(name: str, url: str, count: int, title: str) -> Markup:
    number = element("span", f"{count}", class_="count", id=f"{name.lower()}-count")
    return element("a", name, " ", number, href=url, aria_current="page" if name == title else None)


def _search(words: str) -> Markup:
    box = element(
        "input",
        type="search",
        name="q",
        value=words,
        id="search",
        placeholder="Filter: path, status, cold, failed …",
        aria_label="Filter the invocations",
        autocomplete="off",
        spellcheck="false",
    )
    return element("form", box, action=ROOT, role="search", class_="search")


def _nothing_yet(frame: Frame, *, is_hidden: bool) -> Markup:
    return element(
        "div",
        element("h2", "Nothing has been invoked yet"),
        element("p", "Each request to this address shows up here:"),
        element("p", element("a", frame.url, href=frame.url, class_="address")),
        element("pre", f"curl -i {frame.url}", tabindex="0"),
        class_="empty",
        id="nothing-yet",
        hidden=is_hidden,
    )


def _hint() -> Markup:
    return element("p", "Choose an invocation to see its event, response and log.", class_="empty")


def _nobody(frame: Frame, *, is_hidden: bool) -> Markup:
    return element(
        "div",
        element("h2", "No WebSocket is open"),
        element("p", "Connections to this address show up here, with their groups:"),
        element("pre", frame.url.replace("http", "ws", 1), tabindex="0"),
        class_="empty",
        id="nobody",
        hidden=is_hidden,
    )
