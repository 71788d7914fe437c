"""WebSocket events: the application's replay, connection records, and messages to connections."""
