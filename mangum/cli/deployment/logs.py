"""The function's log, as CloudWatch has it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

from mangum.cli.deployment.errors import CommandError

__all__ = ["log_lines", "seconds_of"]

_POLL_S = 2.0
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def seconds_of(text: str) -> int:
    """A duration such as "90s", "10m", "2h" or "1d", in seconds.

    Raises:
        CommandError: it is none.
    """
    found = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if found is None:
        raise CommandError(f"--since: {text!r} is no duration such as 90s, 10m, 2h or 1d.")
    return int(found[1]) * _UNITS[found[2]]


async def log_lines(client: Any, group: str, start_ms: int, *, follow: bool) -> AsyncIterator[dict[str, Any]]:
    """Events of a log group from a time on, in Unix milliseconds, oldest first. With `follow` it waits for more."""
    seen: set[str] = set()
    while True:
        last = start_ms
        async for event in _page(client, group, start_ms):
            if event["eventId"] not in seen:
                seen.add(event["eventId"])
                last = max(last, event["timestamp"])
                yield event
        if not follow:
            return
        start_ms = last
        await asyncio.sleep(_POLL_S)


async def _page(client: Any, group: str, start_ms: int) -> AsyncIterator[dict[str, Any]]:
    paginator = client.get_paginator("filter_log_events")
    async for page in paginator.paginate(logGroupName=group, startTime=start_ms):
        for event in page["events"]:
            yield event
