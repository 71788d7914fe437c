"""A sandbox of Lambda: a process of its own with a handler, which reads events line by line and answers so.

with Sandbox("one", dsn, endpoint.url, room) as sandbox:
    assert sandbox.invoke(connect_event("a")) == 200
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

from mangum import Mangum
from mangum.types import Receive, Scope, Send
from tests.apps import Context

__all__ = ["Sandbox"]

_WAIT_S = 20.0


class Sandbox:
    """Runs from `with` to its end."""

    def __init__(self, name: str, dsn: str, endpoint_url: str, room: str) -> None:
        command = [sys.executable, "-m", "tests.websocket_sandbox", name, endpoint_url, room]
        environment = {**os.environ, "MANGUM_TEST_DSN": dsn}
        root = Path(__file__).parents[1]
        self._process = subprocess.Popen(
            command, cwd=root, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def begin(self, event: dict[str, Any]) -> None:
        """Hand an event over; `answer` waits for its end."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(event) + "\n")
        self._process.stdin.flush()

    def answer(self) -> int:
        """The status of the answer to the event that was begun."""
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], _WAIT_S)[0]:
            raise TimeoutError("The sandbox did not answer.")
        status: int = json.loads(self._process.stdout.readline())["statusCode"]
        return status

    def invoke(self, event: dict[str, Any]) -> int:
        """Hand an event over, and wait for its answer."""
        self.begin(event)
        return self.answer()

    def freeze(self) -> None:
        """Stop the process, as Lambda does between two events."""
        self._process.send_signal(signal.SIGSTOP)
        _, status = os.waitpid(self._process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)

    def thaw(self) -> None:
        """Continue it."""
        self._process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.thaw()
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait(_WAIT_S)


def chat(name: str, room: str) -> Any:
    """Greets twice, tells everybody what begins with "all: " and who left, and echoes the rest."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        connections = scope["aws.connections"]
        own_id = scope["aws.event"]["requestContext"]["connectionId"]
        await receive()
        await send({"type": "websocket.accept"})
        await connections.join(room)
        await send({"type": "websocket.send", "text": "welcome"})
        await send({"type": "websocket.send", "text": "enjoy"})
        while (message := await receive())["type"] == "websocket.receive":
            if message["text"].startswith("all: "):
                await connections.broadcast(room, message["text"])
            else:
                await send({"type": "websocket.send", "text": f"{message['text']} by {name}"})
        await connections.broadcast(room, f"{own_id} left", exclude={own_id})

    return app


def main() -> None:
    """Answer each line of standard input, an event, until it ends."""
    name, endpoint_url, room = sys.argv[1:]
    app = chat(name, room)
    dsn = os.environ["MANGUM_TEST_DSN"]
    with Mangum(app, lifespan="off", dsn=dsn, api_gateway_endpoint_url=endpoint_url) as handler:
        for line in sys.stdin:
            print(json.dumps(handler(json.loads(line), Context())), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
