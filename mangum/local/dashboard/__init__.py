"""The page of `mangum dev`: what was invoked and how that went, and the open WebSocket connections."""

from mangum.local.dashboard.app import Dashboard
from mangum.local.dashboard.connections import ConnectionsView, OpenConnection, StoredGroups

__all__ = ["ConnectionsView", "Dashboard", "OpenConnection", "StoredGroups"]
