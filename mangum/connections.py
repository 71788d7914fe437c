"""The former place of `mangum.websocket.connections`."""

from __future__ import annotations

import warnings

from mangum.websocket.connections import BroadcastResult, Connections

__all__ = ["BroadcastResult", "Connections"]

warnings.warn(
    "mangum.connections has moved: import from mangum.websocket.connections instead.", DeprecationWarning, stacklevel=2
)
