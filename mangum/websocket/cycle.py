"""One event of a WebSocket connection: https://asgi.readthedocs.io/en/latest/specs/www.html#websocket

An application sees one long connection, AWS makes an invocation of each event. So the application is run anew for
each, and brought to the point where it waits for a message: the replay. What it does on the way there, it has done at
CONNECT, and it has no effect again. Then it gets the message, and when it waits for the next one and nothing of its can
still run, its task is cancelled: once, as asyncio cancels a task, so that its clean-up can await.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, NoReturn, Protocol, cast

from mangum.core.tasks import BackgroundTasks
from mangum.exceptions import UnexpectedMessage
from mangum.media_types import TOKEN
from mangum.types import ASGI, Message, Scope
from mangum.websocket.idle import is_at_rest, rest, wait_others_blocked

__all__ = ["Effects", "Outlet", "WebSocketCycle"]

logger: logging.Logger = logging.getLogger("mangum.websocket")

_is_token = re.compile(TOKEN).fullmatch
_ABNORMAL = 1006  # RFC 6455, section 7.4.1: closed without a close frame, as by a response to the handshake


class Outlet(Protocol):
    """Where the effects of the application go."""

    def accept(self) -> Awaitable[None]:
        """The application has accepted the connection, at CONNECT."""
        ...

    def send(self, data: str | bytes) -> Awaitable[None]:
        """The application sends a message to its client."""
        ...


class Effects(AbstractAsyncContextManager[bool]):
    """What an application does to the outside: whether it counts, and how much of it is under way.

    `async with effects as count:` goes around each effect. An event is not over while one is under way.
    """

    def __init__(self, *, count: bool) -> None:
        self.count = count
        self.under_way: int = 0
        self.changed: asyncio.Event = asyncio.Event()

    async def __aenter__(self) -> bool:
        self.under_way += 1
        return self.count

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.under_way -= 1
        self.changed.set()


class WebSocketCycle:
    """One application, one connection, one event: built, run once, thrown away.

    `message` is what the application gets when it waits for one; `None` at CONNECT, where the connection is not there
    before the invocation has answered. While it is replayed, its effects do not count. Nor do they when it is ended at
    CONNECT or MESSAGE, since the connection goes on, and the clean-up from it has its time at DISCONNECT.
    """

    def __init__(
        self,
        app: ASGI,
        scope: Scope,
        outlet: Outlet,
        effects: Effects,
        message: Message | None,
        background: BackgroundTasks,
    ) -> None:
        self.scope = scope
        self.accepted: bool = False
        self.subprotocol: str | None = None
        self.denial: int | None = None  # the status, where the application answered with a response of its own
        self.closed: bool = False  # by the application
        self.ended: bool = False
        self.error: BaseException | None = None
        self._app = app
        self._outlet = outlet
        self._message = message
        self._farewell: Message | None = None  # what a server says to who receives after its own close
        self._is_connect = message is None
        self._is_disconnect = message is not None and message["type"] == "websocket.disconnect"
        self._is_replayed = message is not None  # until it waits for the message
        self._is_told = False  # that the client wants to connect
        self._is_ending = False
        self._accepting = asyncio.Event()
        self._effects = effects
        self._background = background
        self._receivers: set[asyncio.Task[Any]] = set()  # wait for a message that this event does not have
        self._task: asyncio.Task[Any] | None = None  # from `run` on
        self._strangers: set[asyncio.Task[Any]] = set()  # tasks that were there before

    @property
    def is_refused(self) -> bool:
        """Whether the application will not have the connection: it has closed it, or ended, before it waited for a
        message. To be asked when it has settled."""
        return (self.ended or self.closed) and (self._is_replayed or self._is_connect)

    async def run(self) -> None:
        """The body of the application's task. How it ended is kept for who waits in `settle`."""
        self._task = cast("asyncio.Task[Any]", asyncio.current_task())
        self._strangers = asyncio.all_tasks() - {self._task}
        try:
            await self._app(self.scope, self._receive, self._send)
        except asyncio.CancelledError as error:
            if not self._task.cancelling():  # of something that it awaited, and that was cancelled
                self.error = error
        except Exception as error:
            self.error = error
        finally:
            self.ended = True
            self._effects.changed.set()

    async def settle(self) -> None:
        """Wait until the application has ended, or waits for a message and nothing of its can still run."""
        while not self.ended:
            if self._receivers and not self._effects.under_way:
                await self._rest()
                if self._receivers and not self._effects.under_way:
                    return
            else:
                self._effects.changed.clear()
                await self._effects.changed.wait()

    def _others(self) -> set[asyncio.Task[Any]]:
        """Tasks that the event does not wait for."""
        return self._strangers | self._receivers | self._background.tasks()

    async def _rest(self) -> None:
        """Wait until nothing of the application can run, or waits for anything but a message."""
        await rest(self._others, self._effects.changed, lambda: self.ended)

    async def end(self) -> None:
        """Cancel the application, if it has not ended, and wait for its clean-up."""
        if not self.ended:
            self._is_ending = True
            self._effects.count = self._is_disconnect
            await self._end_task()
        while not self.ended:
            self._effects.changed.clear()
            await self._effects.changed.wait()
        for task in self._receivers:  # that it has left behind, and that would wait for ever
            task.cancel()

    async def _end_task(self) -> None:
        task = cast("asyncio.Task[Any]", self._task)
        wait = _wait_of(task)
        self.cancel()
        if wait is not None:
            await wait_others_blocked()
            if wait is _wait_of(task):  # for others too, that do not end by themselves
                task.cancel()

    def cancel(self) -> None:
        """Cancel the application's task once, so that its clean-up can await.

        `asyncio.wait` does not cancel what it waits for, so that who waits there for a reader and a writer would leave
        both behind. Then the reader is cancelled, after which the application ends the writer, as it does after a
        disconnect: Quart works like this.
        """
        task = cast("asyncio.Task[Any]", self._task)
        readers = self._receivers - {task} if _wait_of(task) is not None else None
        for each in readers or [task]:
            each.cancel()

    async def _receive(self) -> Message:
        if not self._is_told:
            self._is_told = True
            return {"type": "websocket.connect"}
        if not self.accepted:  # by another task of its, while this one waits for messages
            await self._accepting.wait()
        if self._farewell is not None:
            farewell, self._farewell = self._farewell, None
            return farewell
        if self._message is not None and not is_at_rest(self._others()):
            await self._rest()  # what its other tasks do at the start, they have done at CONNECT
        message = self._message
        if message is None:
            await self._wait_for_ever()
        self._message = None
        self._is_replayed = False
        self._effects.count = True
        return message

    async def _wait_for_ever(self) -> NoReturn:
        """There is no further message in this event."""
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        if self._is_ending:  # it was cancelled, and asks again instead of ending
            task.cancel()
        self._receivers.add(task)
        self._effects.changed.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self._receivers.discard(task)
        raise AssertionError("nobody sets the future")  # pragma: no cover - for the type checker

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if self.closed:
            if not self._is_disconnect:
                raise UnexpectedMessage(f"Unexpected {kind}: the connection is closed.")
        elif self.accepted:
            await self._send_open(kind, message)
        else:
            await self._answer(kind, message)

    async def _answer(self, kind: str, message: Message) -> None:
        """What may come before the connection is open."""
        if self.denial is not None:
            if kind != "websocket.http.response.body":
                raise UnexpectedMessage(f"Unexpected {kind}: a response to the handshake has been started.")
            if not message.get("more_body"):
                self._close({"code": _ABNORMAL})
        elif kind == "websocket.accept":
            if not self._is_replayed:
                if message.get("headers"):
                    logger.warning("API Gateway passes on no headers of websocket.accept to the client.")
                self.subprotocol = _subprotocol_of(message)
                try:
                    async with self._effects:
                        await self._outlet.accept()
                except BaseException:
                    self._accepting.set()  # there will be none, for whoever waits for it
                    raise
            self.accepted = True
            self._accepting.set()
        elif kind == "websocket.close":
            self._close(message)
        elif kind == "websocket.http.response.start":
            status = message.get("status")
            if not isinstance(status, int) or not 200 <= status <= 599:
                raise UnexpectedMessage(f"{kind} needs a `status` from 200 to 599, not {status!r}.")
            self.denial = status
        else:
            raise UnexpectedMessage(f"Unexpected {kind}: the connection has not been accepted.")

    def _close(self, message: Message) -> None:
        self.closed = True
        if self._is_replayed:
            self._message = None  # it refuses the connection, and does not get what came on it
        if not self._is_disconnect:
            self._farewell = {
                "type": "websocket.disconnect",
                "code": message.get("code", 1000),
                "reason": message.get("reason") or "",
            }
            self._accepting.set()  # nobody has to wait for that any more

    async def _send_open(self, kind: str, message: Message) -> None:
        if kind == "websocket.send":
            data = _data_of(message)
            if self._effects.count and not self._is_disconnect:
                async with self._effects:
                    await self._outlet.send(data)
        elif kind == "websocket.close":
            if self._effects.count or self._is_replayed:
                self._close(message)
        else:
            raise UnexpectedMessage(f"Unexpected {kind}: the connection has been accepted.")


def _wait_of(task: asyncio.Task[Any]) -> object | None:
    """The call of `asyncio.wait` that the task is in, if it is in one."""
    awaited: object | None = task.get_coro()
    while awaited is not None and getattr(awaited, "cr_code", None) is not asyncio.wait.__code__:
        awaited = getattr(awaited, "cr_await", None)
    return awaited


def _subprotocol_of(message: Message) -> str | None:
    """What goes into the header Sec-WebSocket-Protocol (RFC 6455, section 4.2.2)."""
    subprotocol = message.get("subprotocol")
    if subprotocol is None or (isinstance(subprotocol, str) and _is_token(subprotocol)):
        return subprotocol
    raise UnexpectedMessage(f"websocket.accept needs a token as `subprotocol`, not {subprotocol!r}.")


def _data_of(message: Message) -> str | bytes:
    text, data = message.get("text"), message.get("bytes")
    if isinstance(text, str) and data is None:
        return text
    if isinstance(data, bytes | bytearray | memoryview) and text is None:
        return bytes(data)
    raise UnexpectedMessage(
        "websocket.send needs either `text`, a string, or `bytes`; "
        f"it has {type(text).__name__} and {type(data).__name__}."
    )
