"""Helpers for custom handlers, with the names and the results of mangum 0.22. mangum itself does without them."""

from __future__ import annotations

import binascii
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import unquote

from mangum.handlers.bodies import decode_body, encode_body
from mangum.handlers.headers import decode_headers, single_and_repeated

__all__ = [
    "get_server_and_port",
    "handle_base64_response_body",
    "handle_exclude_headers",
    "handle_multi_value_headers",
    "maybe_encode_body",
    "strip_api_gateway_path",
]

T = TypeVar("T")


def maybe_encode_body(body: str | bytes | None, *, is_base64: bool) -> bytes:
    """The request's body as bytes, without a look at it.

    Raises:
        ValueError: it is no base64, where `is_base64` says so.
    """
    return binascii.a2b_base64(body or b"") if is_base64 else decode_body(body, False)


def get_server_and_port(headers: Mapping[str, Any]) -> tuple[str, int]:
    """The server's name and port, from the headers `host` and `x-forwarded-port` (names in lower case): by default
    "mangum" and 80.

    Raises:
        ValueError: the port is no number.
    """
    name, colon, port = headers.get("host", "mangum").rpartition(":")
    return (name, int(port)) if colon else (port, int(headers.get("x-forwarded-port", 80)))


def strip_api_gateway_path(path: str, *, api_gateway_base_path: str | None) -> str:
    """The path without the base path, then decoded. Characters count here, not segments as they do in mangum itself."""
    prefix = f"/{(api_gateway_base_path or '').removeprefix('/')}"
    return unquote(path.removeprefix(prefix) if prefix != "/" else path) if path else "/"


def handle_multi_value_headers(
    response_headers: Sequence[Sequence[bytes]],
) -> tuple[dict[str, str], dict[str, list[str]]]:
    """The response's headers that come once, as name to value, and the others, as name to list.

    Raises:
        InvalidResponse: they cannot be sent.
    """
    return single_and_repeated(*decode_headers(response_headers))


def handle_base64_response_body(
    body: bytes, headers: Mapping[str, str], text_mime_types: Iterable[str]
) -> tuple[str, bool]:
    """The response's body as text, and whether that text is base64: not if the header `content-type` contains one of
    the text types, and the body decodes."""

    def is_text(content_type: str) -> bool:
        return any(text_type in content_type for text_type in text_mime_types)

    return encode_body(body, headers.get("content-type"), None, is_text)


def handle_exclude_headers(headers: Mapping[str, T], config: Mapping[str, Any]) -> dict[str, T]:
    """The headers without those that `config["exclude_headers"]` names."""
    excluded = config["exclude_headers"]
    return {name: value for name, value in headers.items() if name not in excluded}
