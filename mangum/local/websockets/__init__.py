"""A WebSocket API on localhost: connections, their events, and `@connections`."""

from mangum.local.websockets.api import WebSocketAPI
from mangum.local.websockets.management import ConnectionsAPI
from mangum.local.websockets.routes import DEFAULT_EXPRESSION, Routes
from mangum.local.websockets.settings import WebSocketSettings

__all__ = ["DEFAULT_EXPRESSION", "ConnectionsAPI", "Routes", "WebSocketAPI", "WebSocketSettings"]
