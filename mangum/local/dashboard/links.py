"""The addresses of the page and its parts."""

from __future__ import annotations

from urllib.parse import quote, urlencode

__all__ = ["ROOT", "invocation_url", "search_url"]

ROOT = "/_mangum"


def invocation_url(request_id: str, part: str = "") -> str:
    """An invocation, or a part of it: "detail", "again", "event.json", "answer.json", "log.txt"."""
    url = f"{ROOT}/invocations/{quote(request_id, safe='', errors='replace')}"
    return f"{url}/{part}" if part else url


def search_url(text: str) -> str:
    """The invocations in which a text occurs."""
    return f"{ROOT}?{urlencode({'q': text}, errors='replace')}"
