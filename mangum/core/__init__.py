"""The life of an invocation: the loop, the lifespan, the request/response cycle, the deadline."""
