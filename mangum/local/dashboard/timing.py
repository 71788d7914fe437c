"""How long an invocation took, as a bar of its parts and in numbers."""

from __future__ import annotations

from mangum.local.dashboard.markup import Markup, element, join
from mangum.local.invocations import Invocation

__all__ = ["bar", "duration", "legend"]

# What of an invocation takes time, in the order in which it comes.
_PARTS = {
    "translation": "The event becomes a request.",
    "lifespan": "The application starts up and shuts down.",
    "application": "It handles the request.",
    "backend": "The store of connections, and posts to them.",
    "response": "The answer for AWS is made.",
    "other": "Everything around that.",
}


def duration(milliseconds: float | None) -> str:
    """A time with a fitting unit."""
    if milliseconds is None:
        return ""
    if milliseconds < 1000:
        return f"{milliseconds:.{1 if milliseconds < 100 else 0}f} ms"
    return f"{milliseconds / 1000:.2f} s"


def bar(invocation: Invocation) -> Markup:
    """The parts of the time in the function, side by side."""
    parts = _parts(invocation)
    total = sum(parts.values()) or 1.0
    rectangles, x = [], 0.0
    for name, milliseconds in parts.items():
        width = milliseconds / total * 100
        rectangles.append(element("rect", x=f"{x:.2f}", width=f"{width:.2f}", height="1", class_=f"part {name}"))
        x += width
    picture = element("svg", *rectangles, viewBox="0 0 100 1", preserveAspectRatio="none", aria_hidden="true")
    told = ", ".join(f"{name} {duration(milliseconds)}" for name, milliseconds in parts.items())
    return element("span", picture, class_="bar", title=told or None)


def legend(invocation: Invocation) -> Markup:
    """What the colours of the bar mean, and the numbers."""
    entries = [_entry(name, milliseconds, _PARTS[name]) for name, milliseconds in _parts(invocation).items()]
    if invocation.init_ms is not None:
        entries.insert(0, _entry("init", invocation.init_ms, "The cold start: its code was loaded. Not in the bar."))
    return element("dl", *entries, class_="legend")


def _entry(name: str, milliseconds: float, meaning: str) -> Markup:
    swatch = element("i", class_=f"swatch {name}", aria_hidden="true")
    return element("div", join(element("dt", swatch, name), element("dd", duration(milliseconds))), title=meaning)


def _parts(invocation: Invocation) -> dict[str, float]:
    if invocation.duration_ms is None:
        return {}
    known = {name: invocation.parts_ms[name] for name in _PARTS if name in invocation.parts_ms}
    other = max(0.0, invocation.duration_ms - sum(known.values()))
    return {**known, "other": other}
