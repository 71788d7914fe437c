"""Where WebSocket connections are stored: one file a store, chosen by the scheme of a DSN."""
