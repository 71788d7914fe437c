"""Lambda, as far as a runtime sees it: a Runtime API that hands out one event after another, or many at once."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count

from benchmarks.errors import BenchmarkError

__all__ = ["LambdaService", "lambda_service"]

_ANSWER_S = 120.0
_SEPARATOR = b"\0" * 8  # after the prelude of a stream


class LambdaService:
    """Events in, answers out."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.events: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.streams: queue.SimpleQueue[tuple[float, float, int]] = queue.SimpleQueue()  # of the answers that are
        self.ids = count()
        self.waiting = threading.Semaphore(0)  # one for each request for an event

    def invoke(self, event: bytes) -> bytes:
        """The answer to an event."""
        self.events.put(event)
        return self.answers.get(timeout=_ANSWER_S)

    def invoke_hello(self, event: bytes) -> None:
        """Have an event answered.

        Raises:
            BenchmarkError: it was not, with a status of 200.
        """
        document = self.invoke(event).partition(b"\0")[0]  # of a stream, its beginning
        if json.loads(document).get("statusCode") != 200:
            raise BenchmarkError(f"The function answered {document[:200]!r}.")

    def stream(self, event: bytes) -> tuple[float, float, int]:
        """The seconds to the first byte of a streamed body and to its last, and how many there are."""
        started = time.perf_counter()
        self.events.put(event)
        first, last, size = self.streams.get(timeout=_ANSWER_S)
        self.answers.get(timeout=_ANSWER_S)
        return first - started, last - started, size

    def invoke_at_once(self, event: bytes, number: int) -> float:
        """The seconds that so many take in all."""
        started = time.perf_counter()
        for _ in range(number):
            self.events.put(event)
        for _ in range(number):
            self.answers.get(timeout=_ANSWER_S)
        return time.perf_counter() - started

    def wait_for(self, number: int) -> None:
        """Wait until so many requests for an event have come."""
        for _ in range(number):
            if not self.waiting.acquire(timeout=_ANSWER_S):
                raise TimeoutError


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 64 * 1024  # head and body go out together
    disable_nagle_algorithm = True
    service: LambdaService

    def do_GET(self) -> None:
        service = self.service
        if "extension" in self.path:
            self.rfile.read(1)  # until the runtime ends
            return
        service.waiting.release()
        event = service.events.get()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Lambda-Runtime-Aws-Request-Id", f"{next(service.ids):036d}")
        self.send_header("Lambda-Runtime-Deadline-Ms", str(int((time.time() + 30) * 1000)))
        self.send_header("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:eu-west-1:123456789012:function:hello")
        self.send_header("Lambda-Runtime-Trace-Id", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=0")
        self._end(event)

    def do_POST(self) -> None:
        is_stream = self.headers["Transfer-Encoding"] == "chunked"
        body = self._receive_stream() if is_stream else self.rfile.read(int(self.headers["Content-Length"]))
        if "extension" in self.path:
            self.send_response(200)
            self.send_header("Lambda-Extension-Identifier", "benchmark")
            self._end(b"{}")
            return
        self.send_response(202)
        self._end(b'{"status":"OK"}')
        self.service.answers.put(body)

    def _receive_stream(self) -> bytes:
        """Read it to its end. Returns its prelude and what came with that."""
        head, size, first = b"", 0, 0.0
        while length := int(self.rfile.readline(), 16):
            data = self.rfile.read(length)
            self.rfile.readline()
            if not size:
                head += data
                size = len(head.partition(_SEPARATOR)[2])
                first = time.perf_counter()
            else:
                size += length
        while self.rfile.readline().strip():
            pass  # trailers
        self.service.streams.put((first, time.perf_counter(), size))
        self.close_connection = True
        return head

    def _end(self, body: bytes) -> None:
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # its name over there
        """Each request would be a line."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: object, client_address: object) -> None:
        """A runtime that is killed leaves its connections."""


@contextmanager
def lambda_service() -> Iterator[LambdaService]:
    """One that listens on a port of its own. Its threads end with the runtimes' connections."""
    handler = type("Handler", (_Handler,), {})
    server = _Server(("127.0.0.1", 0), handler)
    service = LambdaService(f"127.0.0.1:{server.server_address[1]}")
    handler.service = service  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
