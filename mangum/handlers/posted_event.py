"""Non-HTTP events (SQS, SNS, EventBridge, S3, …), handed to the application as `POST {event_path}`."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from mangum.config import AUTO, Config
from mangum.exceptions import EventFailed, InvalidEvent
from mangum.handlers.headers import decode_headers
from mangum.handlers.paths import place_under, quote_decoded_path
from mangum.handlers.sources import source_of
from mangum.media_types import media_type
from mangum.types import LambdaEvent, Response, Scope

__all__ = ["PostedEvent", "is_event_path"]

logger: logging.Logger = logging.getLogger("mangum.http")

_HOST = "lambda"


class PostedEvent:
    """The event as JSON body of a request; the JSON of the response is what Lambda gets back."""

    def __init__(self, event: LambdaEvent, context: Any, config: Mapping[str, Any]) -> None:
        self.event = event
        self.context = context
        self.config: Config = Config.of(config)

    @classmethod
    def infer(cls, event: LambdaEvent, context: Any, config: Mapping[str, Any]) -> bool:
        return Config.of(config).event_path is not None and source_of(event).is_posted

    @property
    def body(self) -> bytes:
        """The event as JSON.

        Raises:
            InvalidEvent: it holds something that JSON cannot say, so that Lambda cannot have sent it.
        """
        try:
            return json.dumps(self.event).encode()
        except (TypeError, ValueError) as error:
            raise InvalidEvent(f"The event cannot be written as JSON: {error}.") from error

    @property
    def scope(self) -> Scope:
        path, raw_path, root_path = _target(self.config)
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "https",
            "path": path,
            "raw_path": raw_path,
            "root_path": root_path,
            "query_string": b"",
            "headers": [[b"host", _HOST.encode()], [b"content-type", b"application/json"]],
            "client": ("", 0),
            "server": (_HOST, 443),
            "aws.event": self.event,
            "aws.context": self.context,
            "aws.posted_event": True,
        }

    def __call__(self, response: Response) -> Any:
        """The JSON value of the response, or `None` for a response without one.

        Raises:
            EventFailed: the status is no success. A redirect is none either: nobody has taken the event.
            InvalidResponse: the headers are no pairs of bytes.
        """
        status = response["status"]
        if not 200 <= status < 300:
            raise EventFailed(
                f"The application answered {status} to {source_of(self.event).value}: "
                "the invocation fails, so that Lambda retries it.",
                status,
            )
        headers, _ = decode_headers(response["headers"])
        body = response["body"]
        if not body:
            return None
        content_type = headers.get("content-type", "")
        if not _is_json(content_type):
            logger.warning(
                "The response to %s is %r, not JSON: Lambda gets null.", source_of(self.event).value, content_type
            )
            return None
        try:
            return json.loads(body)
        except ValueError as error:
            raise EventFailed(f"The application's JSON response could not be read: {error}.", status) from error


def _is_json(content_type: str) -> bool:
    subtype = media_type(content_type).partition("/")[2]
    return subtype == "json" or subtype.endswith("+json")


def _target(config: Config) -> tuple[str, bytes, str]:
    """`path`, `raw_path` and `root_path` of the requests that events become."""
    path, raw_path = quote_decoded_path(config.event_path or "/")
    root_path = config.root_path
    if root_path is None or root_path == AUTO:
        return path, raw_path, ""
    return *place_under(path, raw_path, root_path), root_path


def is_event_path(scope: Scope, config: Config) -> bool:
    """Whether a framework may route a request to the consumer of events.

    It does not depend on how the framework routes: every path that ends like `event_path` counts, since the application
    may have a root path of its own (`FastAPI(root_path="/prod")`, Django's `FORCE_SCRIPT_NAME`), and every spelling.
    """
    own = _segments(config.event_path or "")
    return _segments(scope["path"])[-len(own) :] == own


def _segments(path: str) -> list[str]:
    """A path's segments without case, control characters, white space, dot segments, and more than one slash."""
    folded = "".join(filter(str.isprintable, path)).replace(" ", "").replace("\\", "/").casefold()
    segments: list[str] = []
    for segment in folded.split("/"):
        if segment == "..":
            del segments[-1:]
        elif segment not in ("", "."):
            segments.append(segment)
    return segments
