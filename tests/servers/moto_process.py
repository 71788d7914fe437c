"""A service of moto's as a process of its own: `python moto_process.py dynamodb PORT`, 0 for any port, and "cloud" for
all services. It prints its port when it listens, and ends when its standard input does.

moto's own server closes each connection; this one keeps them, as AWS does. It answers one request at a time, since
moto checks a condition and acts on it in two steps. Two paths are its own: `POST /_faults` takes answers that requests
shall get instead of moto's, and `GET /_requests` tells what was asked since the last time.
"""

from __future__ import annotations

import io
import json
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import uvicorn
from a2wsgi.wsgi import build_environ
from moto.dynamodb.models.table import Table
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Faulty:
    """An application whose requests are counted, and some of them answered as ordered."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._requests: list[str] = []
        self._faults: list[dict[str, Any]] = []

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/_faults":
            self._faults = json.load(environ["wsgi.input"])
            return _answer(start_response, 200, "")
        if environ["PATH_INFO"] == "/_requests":
            requests, self._requests = self._requests, []
            return _answer(start_response, 200, json.dumps(requests))

        scope = environ["asgi.scope"]
        environ["RAW_URI"] = f"{scope['raw_path'].decode()}?{environ['QUERY_STRING']}"
        # The operation for DynamoDB, method and URL for S3.
        operation = environ.get("HTTP_X_AMZ_TARGET", "").partition(".")[2] or _action(environ)
        request = operation or f"{environ['REQUEST_METHOD']} {environ['RAW_URI']}"
        if "HTTP_EXPECT" in environ:
            request += f" Expect: {environ['HTTP_EXPECT']}"
        self._requests.append(request)
        for fault in self._faults:
            if fault["times"] and fault["request"] in request:
                fault["times"] -= 1
                return _answer(start_response, fault["status"], fault["body"])
        return self._application(environ, start_response)


def _action(environ: dict[str, Any]) -> str:
    """Of a request of CloudFormation, which is a form."""
    if not environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
        return ""
    body = environ["wsgi.input"].read()
    environ["wsgi.input"] = io.BytesIO(body)
    action: str = parse_qs(body.decode()).get("Action", [""])[0]
    return action


def _answer(start_response: Callable[..., Any], status: int, body: str) -> Iterable[bytes]:
    start_response(f"{status} ordered", [("Content-Length", str(len(body)))])
    return [body.encode()]


def _items(table: Table) -> list[Any]:
    """As moto's own method, which sorts the whole table in every query, before that sorts what it has found."""
    return [item for partition in table.items.values() for item in partition.values()]


class OneAtATime:
    """A WSGI application as ASGI, without a thread: to go from one to the other and back, three times a request, takes
    as long as moto does."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            if not message["more_body"]:
                break
        start: dict[str, Any] = {"type": "http.response.start"}

        def start_response(status: str, headers: list[tuple[str, str]], error: object = None) -> None:
            start["status"] = int(status.partition(" ")[0])
            start["headers"] = [(name.lower().encode("latin1"), value.encode("latin1")) for name, value in headers]

        environ: Any = build_environ(scope, io.BytesIO(body))  # type: ignore[arg-type] # which has all that its own has
        answer = b"".join(self._application(environ, start_response))
        await send(start)
        await send({"type": "http.response.body", "body": answer})


def end_with(stream: Any) -> None:
    stream.read()
    os._exit(0)


def _backend(service: str) -> Application:
    """One service, or "cloud" for all of them."""
    if service != "cloud":
        return create_backend_app(service)  # type: ignore[arg-type]
    sys.path.append(str(Path(__file__).parent))  # at the end: there is a `moto` too
    import moto_cloud  # type: ignore[import-not-found] # under this name in this process alone

    moto_cloud.install()
    return DomainDispatcherApplication(create_backend_app)


def main(service: str, port: str) -> None:
    Table.all_items = _items  # type: ignore[assignment]
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", int(port)))
    listener.listen(128)
    application: Any = OneAtATime(Faulty(_backend(service)))
    # moto says who serves, and aiohttp refuses to hear it twice in Python's development mode.
    config = uvicorn.Config(application, log_level="error", lifespan="off", timeout_keep_alive=600, server_header=False)
    server = uvicorn.Server(config)
    threading.Thread(target=end_with, args=[sys.stdin], daemon=True).start()
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    server.run([listener])


if __name__ == "__main__":
    main(*sys.argv[1:])
