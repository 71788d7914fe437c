"""Other ways to bring a hello-world to Lambda: WSGI adapters, no framework at all, a web server behind a hop."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from benchmarks.work.app import HELLO
from benchmarks.work.events import SOURCES, Context
from benchmarks.work.operations import Operation, check_answer, each, each_invocation

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

__all__ = ["HANDLERS", "apig_wsgi_handler", "hop", "other_way", "powertools_handler", "serverless_wsgi_handler"]

Handler = Callable[[dict[str, Any], Any], Any]
_ANSWER_S = 10.0


def _hello(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(HELLO)))])
    return [HELLO]


def apig_wsgi_handler() -> Handler:
    """https://pypi.org/project/apig-wsgi/"""
    from apig_wsgi import make_lambda_handler

    handler: Handler = make_lambda_handler(_hello)
    return handler


def serverless_wsgi_handler() -> Handler:
    """https://pypi.org/project/serverless-wsgi/"""
    from serverless_wsgi import handle_request

    return lambda event, context: handle_request(_hello, event, context)


def powertools_handler() -> Handler:
    """https://docs.aws.amazon.com/powertools/python/latest/core/event_handler/api_gateway/"""
    from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response

    app = APIGatewayHttpResolver()

    @app.get("/hello")  # type: ignore[untyped-decorator] # where it is not installed
    def hello() -> Any:
        return Response(200, content_type="text/plain; charset=utf-8", body=HELLO.decode())

    handler: Handler = app.resolve
    return handler


HANDLERS = {
    "apig-wsgi": apig_wsgi_handler,
    "serverless-wsgi": serverless_wsgi_handler,
    "Powertools": powertools_handler,
}


def other_way(peer: str) -> Operation:
    """One invocation of a hello-world by one of `HANDLERS`, with an HTTP API's event."""
    handler = HANDLERS[peer]()
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
