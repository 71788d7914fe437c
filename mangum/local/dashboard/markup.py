"""HTML that is built of elements, so that nothing gets into it unescaped."""

from __future__ import annotations

from html import escape

from mangum.local.printable import printable_lines

__all__ = ["Child", "Markup", "element", "fact", "join"]

_VOID = frozenset({"input", "link", "meta"})


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Child = str | None  # what is no `Markup` is text


def element(name: str, /, *children: Child, **attributes: str | bool | None) -> Markup:
    """An element. Attributes are written with `_` for `-`, and with one at the end where Python has a keyword of that
    name; one that is `None` or `False` is left out."""
    begin = name + "".join(_attribute(key, value) for key, value in attributes.items())
    return Markup(f"<{begin}>" if name in _VOID else f"<{begin}>{join(*children)}</{name}>")


def fact(name: str, value: str | None, width: str | None = None) -> Markup | None:
    """A term and what it is, for a `dl`; nothing where there is no value."""
    return None if value is None else element("div", element("dt", name), element("dd", value), class_=width)


def join(*children: Child) -> Markup:
    """What follows each other."""
    return Markup(
        "".join(child if isinstance(child, Markup) else _text(child) for child in children if child is not None)
    )


def _attribute(key: str, value: str | bool | None) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{_text(value)}"'


def _text(text: str) -> str:
    return escape(printable_lines(text))
