"""The pictures of the chat and the dashboard in docs/images: `./scripts/screenshots` takes them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

import httpx
from playwright.sync_api import Browser, Page, expect

import mangum
from tests.browser import ChatWindow, DashboardWindow, browser_path, open_browser
from tests.dev_server import serving

PROJECT = Path(mangum.__file__).parent.parent
SIZES = {"desktop": (1280, 800), "phone": (390, 780)}

Scheme = Literal["light", "dark"]


def take_all(browser: Browser, url: str, folder: Path) -> None:
    """What happens is the same in each of them, once."""
    folder.mkdir(parents=True, exist_ok=True)
    ann, ben = ChatWindow(browser.new_page(), url), ChatWindow(browser.new_page(), url)
    ann.join("Ann", "lobby")
    ben.join("Ben", "lobby")
    ann.reads("Ben is here")
    talk(ann, ben)
    httpx.get(f"{url}/no/such/page")
    httpx.post(f"{url}/rooms/lobby", json={"text": "The build is green"}, timeout=10)
    ann.reads("The build is green")
    for size in SIZES:
        for scheme in ("light", "dark"):
            name = f"{size}-{scheme}.png"
            # Ann's window, in which it has been said, for one half of them; Ben's for the other.
            chat = (ann if scheme == "light" else ben).page
            look(chat, size, scheme)
            chat.screenshot(path=folder / f"chat-{name}")
            photograph_dashboard(browser, url, folder, size, scheme)


def talk(ann: ChatWindow, ben: ChatWindow) -> None:
    """One sentence after the other."""
    said = [
        (ann, "Is anybody there?"),
        (ben, "I am! Which region are you in?"),
        (ann, "localhost-1"),
        (ben, "Lovely this time of year. No cold starts either."),
    ]
    for window, text in said:
        window.say(text)
        ann.reads(text)
        ben.reads(text)


def photograph_dashboard(browser: Browser, url: str, folder: Path, size: str, scheme: Scheme) -> None:
    """An invocation on its page, the list where that is another, and the connections."""
    page = browser.new_page(color_scheme=scheme, reduced_motion="reduce")
    dashboard = DashboardWindow(page, url)
    look(page, size, scheme)
    name = f"{size}-{scheme}.png"
    if size == "phone":
        page.screenshot(path=folder / f"invocations-{name}")
    dashboard.open("$default", "Lovely")
    page.screenshot(path=folder / f"invocation-{name}")
    dashboard.show("Connections")
    expect(dashboard.connection("lobby")).to_have_count(2)
    page.screenshot(path=folder / f"connections-{name}")
    page.close()


def look(page: Page, size: str, scheme: Scheme) -> None:
    """Make a window's size and colours these."""
    width, height = SIZES[size]
    page.set_viewport_size({"width": width, "height": height})
    page.emulate_media(color_scheme=scheme)


def main(folder: Path) -> None:
    """Run `mangum dev` for it."""
    path = browser_path()
    if path is None:
        sys.exit("There is no Chromium on this machine.")
    with serving(PROJECT, "examples.chat:handler", "--no-reload") as server, open_browser(path) as browser:
        take_all(browser, server.url, folder)


if __name__ == "__main__":
    main(PROJECT / "docs" / "images")
