"""moto's server, as a process of its own: `python moto_process.py PORT` (0 for any). It prints its port when it
listens, and ends when its standard input does.

It answers one request at a time, since moto checks a condition and acts on it in two steps. It has two paths of its
own: `POST /_faults` takes answers that requests shall get instead of moto's, and `GET /_requests` tells what was asked
since the last time.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Serialised:
    """One request at a time, with faults as they are ordered."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._lock = threading.Lock()
        self._requests: list[str] = []
        self._faults: list[dict[str, Any]] = []

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        with self._lock:
            path = environ["PATH_INFO"]
            if path == "/_faults":
                self._faults = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
                return _answer(start_response, 200, b"")
            if path == "/_requests":
                requests, self._requests = self._requests, []
                return _answer(start_response, 200, json.dumps(requests).encode())
            request = _name(environ)
            self._requests.append(request)
            for fault in self._faults:
                if fault["times"] and fault["request"] in request:
                    fault["times"] -= 1
                    environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
                    return _answer(start_response, fault["status"], fault["body"].encode())
            return list(self._application(environ, start_response))


def _name(environ: dict[str, Any]) -> str:
    """What is asked: the operation for DynamoDB, method and URL for S3."""
    target: str = environ.get("HTTP_X_AMZ_TARGET", "")
    return target.partition(".")[2] or f"{environ['REQUEST_METHOD']} {environ['RAW_URI']}"


def _answer(start_response: Callable[..., Any], status: int, body: bytes) -> Iterable[bytes]:
    start_response(f"{status} as ordered", [("Content-Length", str(len(body)))])
    return [body]


def end_with(stream: Any) -> None:
    stream.read()
    os._exit(0)


def main() -> None:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    application = Serialised(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", int(sys.argv[1]), application, True, request_handler=MotoRequestHandler)
    threading.Thread(target=end_with, args=[sys.stdin], daemon=True).start()
    sys.stdout.write(f"{server.port}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
