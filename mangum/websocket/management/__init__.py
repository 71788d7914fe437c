"""API Gateway's management API, `@connections`: what WebSocket connections are sent through."""
