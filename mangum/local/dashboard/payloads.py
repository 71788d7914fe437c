"""Events, answers and their bodies, as people read them."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

from mangum.local.dashboard.markup import Markup, element, join

__all__ = ["block", "body_of", "encodable", "json_block", "parsed", "plain_block", "pretty"]

_MOST_SHOWN = 20_000
_TOKEN = re.compile(r'("(?:[^"\\]|\\.)*")(\s*:)?|\b(true|false|null)\b|(-?\d[\d.eE+-]*)')


def pretty(value: Any) -> str:
    """A value as JSON with a line for each of its parts."""
    return encodable(json.dumps(value, indent=2, ensure_ascii=False))


def encodable(document: str) -> str:
    """JSON that can be encoded: halves of surrogate pairs are escaped."""
    return document.encode(errors="backslashreplace").decode()


def parsed(text: str | None) -> Any:
    """What a text says as JSON, or `None`."""
    try:
        return None if text is None else json.loads(text)
    except ValueError:
        return None


def body_of(fields: Any) -> str | bytes | None:
    """The body in an event or an answer, decoded: text if it is, or else bytes; `None` if there is none."""
    body = fields.get("body") if isinstance(fields, dict) else None
    if not isinstance(body, str) or not body:
        return None
    if not fields.get("isBase64Encoded"):
        return body
    try:
        data = base64.b64decode(body, validate=True)
    except ValueError:
        return body  # it is not what it says: shown as it is
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def block(content: str | bytes, whole: str) -> Markup:
    """Text, or that there is none. JSON in it is laid out. What is too long is cut: all of it is at `whole`."""
    if isinstance(content, bytes):
        return element("p", f"{len(content):,} bytes, which are not text.", class_="quiet")
    value = parsed(content)
    if isinstance(value, dict | list):
        return json_block(value, whole)
    return plain_block(content, whole)


def plain_block(text: str, whole: str) -> Markup:
    """Text as it is."""
    return _shown(text[:_MOST_SHOWN], len(text), whole, is_json=False)


def json_block(value: Any, whole: str) -> Markup:
    """A value as JSON, in colours."""
    text = pretty(value)
    return _shown(text[:_MOST_SHOWN], len(text), whole, is_json=True)


def _shown(text: str, size: int, whole: str, *, is_json: bool) -> Markup:
    code = element("pre", _coloured(text) if is_json else text, tabindex="0")
    if size <= len(text):
        return code
    return join(
        code,
        element(
            "p",
            f"The first {len(text):,} of {size:,} characters. ",
            element("a", "Show all", href=whole),
            class_="quiet",
        ),
    )


def _coloured(text: str) -> Markup:
    pieces: list[str] = []
    end = 0
    for match in _TOKEN.finditer(text):
        string, colon, word, number = match.groups()
        kind = "key" if colon else "string" if string else "word" if word else "number"
        pieces += [text[end : match.start()], element("span", string or word or number, class_=kind), colon or ""]
        end = match.end()
    return join(*pieces, text[end:])
