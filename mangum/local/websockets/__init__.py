"""A WebSocket API on localhost: connections, their events, and `@connections`."""
