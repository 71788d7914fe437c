"""The chat and the dashboard of `mangum dev`, in a browser."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest
from playwright.sync_api import APIResponse, Browser, Page, Route, expect

import mangum
from tests.browser import ChatWindow, DashboardWindow, browser_path, open_browser
from tests.dev_server import serving

PROJECT = Path(mangum.__file__).parent.parent
_TRIES = 5
_TRY_MS = 3_000


def test_a_chat_seen_from_both_sides() -> None:
    path = browser_path()
    if path is None:
        missing = "There is no Chromium on this machine, which this test looks at the pages with."
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    with serving(PROJECT, "examples.chat:handler", "--no-reload") as server, open_browser(path) as browser:
        dashboard = look_at_everything(browser, server.url)
        server.send_signal(signal.SIGTERM)
        assert server.wait() == 0, server.output
        assert "Traceback" not in server.output
        expect(dashboard.page.locator("#live")).to_have_text("disconnected")


def look_at_everything(browser: Browser, url: str) -> DashboardWindow:
    """The whole story, which leaves a dashboard and Ann's window open."""
    dashboard = DashboardWindow(browser.new_page(), url)
    complaints = complaints_of(dashboard.page)
    expect(dashboard.page.get_by_role("heading", name="Nothing has been invoked yet")).to_be_visible()

    ann, ben = ChatWindow(browser.new_page(), url), ChatWindow(browser.new_page(), url)
    ann.join("Ann", "lobby")
    ben.join("Ben", "lobby")
    ann.reads("Ben is here")
    ann.say("Good <b>morning</b>")
    ben.reads("Good <b>morning</b>")

    ann_id = the_invocations_are_there(dashboard)
    the_connections_are_there(dashboard, ann, ann_id)
    ben.reads("Hello from the dashboard", count=0)
    one_leaves(dashboard, ann, ben)
    an_invocation_is_sent_again(dashboard, ann)
    a_connection_is_closed(dashboard, ann, ann_id)
    the_list_is_filtered(dashboard)
    news_is_not_lost_while_the_list_is_fetched(browser, url)
    it_fits_on_a_phone(dashboard, ann)
    it_works_without_scripts(browser, url)
    assert complaints == []
    return dashboard


def news_is_not_lost_while_the_list_is_fetched(browser: Browser, url: str) -> None:
    page = browser.new_page()
    lists: list[tuple[Route, APIResponse]] = []

    def hold(route: Route) -> None:
        """It has been made, then something happens, and only then it arrives."""
        response = route.fetch()
        page.request.get(f"{url}/late")
        lists.append((route, response))

    page.route("**/_mangum/rows", hold)
    dashboard = DashboardWindow(page, url)
    expect(dashboard.row("/late", "404")).to_have_count(1)
    page.evaluate("document.querySelectorAll('#rows > li').forEach((row) => (row.dataset.old = 'yes'))")
    for route, response in lists:
        route.fulfill(response=response)
    expect(page.locator("#rows > li[data-old]")).to_have_count(0)
    expect(dashboard.row("/late", "404")).to_have_count(1)
    page.close()


def complaints_of(page: Page) -> list[str]:
    """What goes wrong in a page, filled as it does: errors of scripts, and what its Content-Security-Policy forbids."""
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    return complaints


def the_invocations_are_there(dashboard: DashboardWindow) -> str:
    """Live, and on a click with everything that is known of one. Gives the id of the connection that spoke."""
    expect(dashboard.row("GET", "200")).to_have_count(2)
    expect(dashboard.row("$connect", "200")).to_have_count(2)
    expect(dashboard.row("cold")).to_have_count(1)
    dashboard.open("$default", "Good <b>morning</b>")
    for text in ("backend", '"routeKey": "$default"', '"statusCode": 200'):
        expect(dashboard.detail).to_contain_text(text)
    ann_id = dashboard.detail.locator(".facts a").inner_text()
    dashboard.open("GET", "/")
    expect(dashboard.detail).to_contain_text("<!doctype html>")
    dashboard.page.go_back()
    expect(dashboard.detail).to_contain_text(ann_id)
    return ann_id


def the_connections_are_there(dashboard: DashboardWindow, ann: ChatWindow, ann_id: str) -> None:
    dashboard.show("Connections")
    expect(dashboard.connection("lobby")).to_have_count(2)
    anns = dashboard.connections.filter(has_text=ann_id)
    anns.get_by_role("textbox").fill("Hello from the dashboard")
    anns.get_by_role("button", name="Send").click()
    dashboard.note("Sent.")
    ann.reads("Hello from the dashboard")


def one_leaves(dashboard: DashboardWindow, ann: ChatWindow, ben: ChatWindow) -> None:
    ben.page.close()
    ann.reads("Ben has left")
    expect(dashboard.connections).to_have_count(1)
    dashboard.show("Invocations")
    expect(dashboard.row("$disconnect", "200")).to_have_count(1)


def an_invocation_is_sent_again(dashboard: DashboardWindow, ann: ChatWindow) -> None:
    dashboard.open("$default", "Good <b>morning</b>")
    dashboard.detail.get_by_role("button", name="Send again").click()
    dashboard.note("Sent again.")
    expect(dashboard.row("again", "$default", "200")).to_have_count(1)
    ann.reads("Good <b>morning</b>", count=2)


def a_connection_is_closed(dashboard: DashboardWindow, ann: ChatWindow, ann_id: str) -> None:
    """And the chat connects anew."""
    dashboard.show("Connections")
    dashboard.connections.filter(has_text=ann_id).get_by_role("button", name="Close").click()
    expect(dashboard.connections.filter(has_text=ann_id)).to_have_count(0)
    ann.reads("You are back")
    expect(dashboard.connection("lobby")).to_have_count(1)
    dashboard.show("Invocations")


def the_list_is_filtered(dashboard: DashboardWindow) -> None:
    """And gone through with the keyboard."""
    shown = dashboard.page.locator("#rows > li:visible")
    dashboard.page.get_by_role("searchbox").fill("$disconnect 200")
    expect(shown).to_have_count(2)
    second = shown.nth(1).get_by_role("link")
    for _ in range(_TRIES):  # a row that is told of once more while this is done is made anew, without the focus
        shown.first.get_by_role("link").focus()
        dashboard.page.keyboard.press("ArrowDown")
        dashboard.page.keyboard.press("Enter")
        with suppress(AssertionError):
            expect(second).to_have_attribute("aria-current", "true", timeout=_TRY_MS)
            break
    expect(second).to_have_attribute("aria-current", "true")
    dashboard.page.get_by_role("searchbox").fill("no such thing")
    expect(dashboard.page.get_by_text("None of them matches.")).to_be_visible()
    dashboard.page.get_by_role("searchbox").fill("")


def it_fits_on_a_phone(*windows: DashboardWindow | ChatWindow) -> None:
    for window in windows:
        window.page.set_viewport_size({"width": 360, "height": 700})
        assert window.page.evaluate("document.documentElement.scrollWidth") <= 360


def it_works_without_scripts(browser: Browser, url: str) -> None:
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto(f"{url}/_mangum?q=GET")
    page.locator("#rows").get_by_role("link").first.click()
    page.get_by_role("button", name="Send again").click()
    expect(page.get_by_role("status")).to_have_text("Sent again.")
    page.get_by_role("link", name="Connections").click()
    page.get_by_role("textbox").fill("Hello without scripts")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("status")).to_have_text("Sent.")
