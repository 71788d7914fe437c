"""A request's path: decoded once, kept as it was sent, placed under the application's mount.

ASGI has the path three times: `path` decoded, `raw_path` as sent, `root_path` the part of `path` that belongs to the
mount: https://asgi.readthedocs.io/en/latest/specs/www.html#http-connection-scope
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote, unquote_plus

__all__ = [
    "decode_sent_path",
    "is_below",
    "is_path_as_sent",
    "is_same_path",
    "place_under",
    "quote_decoded_path",
    "strip_prefix",
    "trailing_match",
]

# What a path may hold unquoted (RFC 3986, section 3.3: pchar and "/").
_PATH_CHARACTERS = "/:@!$&'()*+,;=-._~"
_needs_no_quoting = re.compile(r"[A-Za-z0-9/:@!$&'()*+,;=\-._~]*").fullmatch
_ASCII = "".join(map(chr, range(128)))


def decode_sent_path(sent: str) -> tuple[str, bytes]:
    """`path` and `raw_path` of a path (not empty) that the source hands over percent-encoded, as the client sent it.

    Octets that are no UTF-8 become U+FFFD in `path`, and stay what they are in `raw_path`.
    """
    if sent[0] != "/":
        sent = "/" + sent
    raw_path = sent if sent.isascii() else quote(sent, safe=_ASCII)
    return (unquote(sent) if "%" in sent else sent), raw_path.encode()


def quote_decoded_path(path: str) -> tuple[str, bytes]:
    """`path` and `raw_path` of a path that the source hands over decoded: what was sent is quoted anew."""
    if not path.startswith("/"):
        path = f"/{path}"
    if _needs_no_quoting(path):
        return path, path.encode("ascii")
    return path, quote(path, safe=_PATH_CHARACTERS).encode("ascii")


def is_same_path(path: str, other: str) -> bool:
    """Whether two paths of an event are the same: in AWS's samples, one lacks the trailing slash of the other."""
    return path.rstrip("/") == other.rstrip("/")


def is_path_as_sent(sent: str, path: str) -> bool:
    """Whether `sent` is the path that the client sent, where the event has `path`, decoded or not.

    AWS does not say how it decodes: "+" may be a space, and octets that are no UTF-8 may be anything.
    """
    decoded = unquote_plus(sent)
    return (
        is_same_path(path.replace("+", " "), decoded)
        or is_same_path(unquote_plus(path), decoded)
        or "\ufffd" in decoded
    )


def strip_prefix(path: str, raw_path: bytes, prefix: str, raw_prefix: bytes) -> tuple[str, bytes]:
    """Both forms of the path without `prefix`, where it is made of the path's first segments: "/api" is no prefix of
    "/apiary", nor is "/a/b" of "/a%2Fb"."""
    if raw_path.startswith(raw_prefix):
        rest = raw_path[len(raw_prefix) :]
        if not rest or rest.startswith(b"/"):
            return path[len(prefix) :] or "/", rest or b"/"
    segments = raw_path.split(b"/", prefix.count("/") + 1)
    depth = prefix.count("/") + 1
    if [unquote(segment.decode("ascii")) for segment in segments[:depth]] != prefix.split("/"):
        return path, raw_path
    return path[len(prefix) :] or "/", b"/" + b"".join(segments[depth:])


def is_below(path: str, prefix: str) -> bool:
    """Whether the path's first segments are those of `prefix`: "/api" and "/api/x" are below "/api", "/apiary" not."""
    return path == prefix or path.startswith(f"{prefix}/")


def place_under(path: str, raw_path: bytes, root_path: str) -> tuple[str, bytes]:
    """Both forms of the path with `root_path` in front, unless it is there already."""
    if is_below(path, root_path):
        return path, raw_path
    return root_path + path, quote(root_path, safe=_PATH_CHARACTERS).encode("ascii") + raw_path


def trailing_match(path: str, tail: str) -> str | None:
    """What stands in front of `tail` at the end of `path`, without a trailing slash; `None` if it does not end so.

    A trailing slash of either does not count: REST APIs drop it from `pathParameters`.
    """
    path, tail = path.rstrip("/"), tail.rstrip("/")
    return path[: len(path) - len(tail)].rstrip("/") if path.endswith(tail) else None
