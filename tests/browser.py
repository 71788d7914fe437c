"""A headless browser, and the two pages that it looks at: the chat and the dashboard."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

__all__ = ["ChatWindow", "DashboardWindow", "browser_path", "open_browser"]

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_WAIT_MS = 15_000


def browser_path() -> str | None:
    """This machine's Chromium."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


@contextmanager
def open_browser(path: str) -> Iterator[Browser]:
    """A browser without windows yet."""
    with sync_playwright() as playwright:
        expect.set_options(timeout=_WAIT_MS)
        # The sandbox needs rights that root in a container lacks; nothing but this project's own pages is opened.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"], timeout=30_000)
        try:
            yield browser
        finally:
            browser.close()


class ChatWindow:
    """A window with `examples/chat.py`."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.page.set_default_timeout(_WAIT_MS)
        self.page.goto(url)

    def join(self, name: str, room: str) -> None:
        """Go into a room, and wait until the WebSocket is open."""
        self.page.get_by_label("Your name").fill(name)
        self.page.get_by_label("Room").fill(room)
        self.page.get_by_role("button", name="Join").press("Enter")
        expect(self.page.get_by_role("status")).to_have_text("connected")

    def say(self, text: str) -> None:
        """Write a message, as one does with a keyboard."""
        box = self.page.get_by_role("textbox", name="Message")
        box.fill(text)
        box.press("Enter")

    def reads(self, text: str, count: int = 1) -> None:
        """Wait until the messages have a text."""
        expect(self.page.get_by_role("log").get_by_text(text)).to_have_count(count)


class DashboardWindow:
    """A window with the page at /_mangum."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.page.set_default_timeout(_WAIT_MS)
        self.page.goto(f"{url}/_mangum")
        expect(self.page.locator("#live")).to_have_text("live")

    @property
    def rows(self) -> Locator:
        """The invocations in the list."""
        return self.page.locator("#rows > li")

    @property
    def detail(self) -> Locator:
        """What it shows of one of them."""
        return self.page.get_by_role("region", name="Details")

    @property
    def connections(self) -> Locator:
        """The open connections."""
        return self.page.locator("#connections > li")

    def row(self, *texts: str) -> Locator:
        """The invocations whose line has all these texts."""
        found = self.rows
        for text in texts:
            found = found.filter(has_text=text)
        return found

    def open(self, *texts: str) -> None:
        """Show the newest such invocation."""
        self.row(*texts).first.get_by_role("link").click()
        expect(self.detail.get_by_role("button", name="Send again")).to_be_visible()

    def show(self, view: str) -> None:
        """Change to "Connections" or "Invocations"."""
        self.page.get_by_role("navigation").get_by_role("link", name=view).click()
        self.page.wait_for_load_state()
        expect(self.page.locator("#live")).to_have_text("live")

    def connection(self, group: str) -> Locator:
        """The open connections in a group."""
        return self.connections.filter(has=self.page.get_by_text(group, exact=True))

    def note(self, text: str) -> None:
        """Wait until it says what came of something."""
        expect(self.page.locator("#note")).to_have_text(text)
