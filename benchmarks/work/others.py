"""Other ways to bring a hello-world to Lambda: WSGI adapters, no framework at all, a web server behind a hop."""

from __future__ import annotations

import socket
from typing import Any

from benchmarks.work.app import HELLO
from benchmarks.work.events import SOURCES, Context
from benchmarks.work.functions import OTHER_FUNCTIONS, load
from benchmarks.work.operations import Operation, check_answer, each, each_invocation

__all__ = ["hop", "other_way"]

_ANSWER_S = 10.0


def other_way(peer: str) -> Operation:
    """One invocation of a hello-world by a peer that is no mangum, with an HTTP API's event."""
    handler = load(OTHER_FUNCTIONS[peer])["handler"]
    event = SOURCES["HTTP API 2.0"]
    check_answer(handler(event, Context()), HELLO)
    return Operation(each_invocation(handler, event), lambda: None)


def hop(port: int) -> Operation:
    """One invocation as a request to a web server on this machine: the event's request is written to a connection that
    is kept, and the answer read. The web adapter itself is no Python and does that faster; the hop is the same."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=_ANSWER_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    event = SOURCES["HTTP API 2.0"]

    def answer() -> dict[str, Any]:
        http = event["requestContext"]["http"]
        lines = [f"{http['method']} {event['rawPath']} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in event["headers"].items()]
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        received = b""
        while b"\r\n\r\n" not in received:
            received += connection.recv(65536)
        head, _, body = received.partition(b"\r\n\r\n")
        status, *fields = head.decode("latin-1").split("\r\n")
        headers = dict(field.lower().split(": ", 1) for field in fields)
        while len(body) < int(headers["content-length"]):
            body += connection.recv(65536)
        return {"statusCode": int(status.split()[1]), "headers": headers, "body": body.decode()}

    check_answer(answer(), HELLO)
    return Operation(each(answer), connection.close)
