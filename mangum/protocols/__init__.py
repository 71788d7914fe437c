"""The ASGI cycles: one application run against one protocol."""
