"""CONNECT, MESSAGE and DISCONNECT: what each does with the store, the application and API Gateway."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from mangum.core.deadline import Deadline, last_answer
from mangum.core.root import root_of
from mangum.core.tasks import BackgroundTasks
from mangum.exceptions import BackendError, ConnectionGone, ConnectionsError, MangumError
from mangum.types import ASGI
from mangum.websocket.connections import Connections, encoded
from mangum.websocket.cycle import Effects, WebSocketCycle
from mangum.websocket.event import EventType, Handshake, WebSocketEvent
from mangum.websocket.hub import Hub
from mangum.websocket.records import Address, ConnectionRecord

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from mangum.core.reply import Reply

__all__ = ["OwnConnection", "WebSocketExchange"]

logger: logging.Logger = logging.getLogger("mangum.websocket")

_GONE = 410
_FORGET_S = 1.0  # for a store that may be down, after it has had its time
_CLOSE_S = 1.0  # for API Gateway, after the deadline


class OwnConnection:
    """The connection whose event is handled: what its application does to it."""

    def __init__(self, event: WebSocketEvent, record: ConnectionRecord, hub: Hub, due: float | None) -> None:
        self.record: ConnectionRecord = record
        self.connection_id: str = record.connection_id
        self.effects: Effects = Effects(count=event.type is EventType.CONNECT)
        self.is_stored: bool = event.type is not EventType.CONNECT
        self.is_gone: bool = event.type is EventType.DISCONNECT
        self.failure: BackendError | None = None
        self.pending: list[bytes] = []  # messages of CONNECT: API Gateway takes none before that has been answered
        self._is_open = event.type is not EventType.CONNECT
        self._joins: list[str] = []  # groups, until it is accepted
        self._hub = hub
        self._due = due

    async def accept(self) -> None:
        """Keep the connection, and let it join what it has asked for."""
        self.is_stored = True  # if this fails half-way too, so that it is deleted
        try:
            await self._hub.store.save(self.record.as_entry())
            for group in self._joins:
                await self.join(group)
        except BackendError as error:
            self.failure = error
            raise

    async def send(self, data: str | bytes) -> None:
        """Post a message, or keep it until the connection is open."""
        message = encoded(data)
        if not self._is_open:
            self.pending.append(message)
            return
        if self.is_gone:
            raise ConnectionGone("The WebSocket connection is closed.")
        try:
            self.record = await self._hub.send(self.record, message, self._due)
        except ConnectionGone:
            self.is_gone = True
            raise

    async def deliver_pending(self) -> None:
        """Deliver what was sent at CONNECT. If that fails, it waits on, and `send` tries again."""
        try:
            self.record = await self._hub.deliver_pending(self.record, self._due)
        except ConnectionGone:
            self.is_gone = True
        except ConnectionsError as error:
            logger.error("What was sent at CONNECT waits on: %s", error)

    async def join(self, group: str) -> None:
        """Join a group, as soon as the connection is accepted."""
        if self.is_stored:
            await self._hub.store.join(group, self.record.target.as_member(self.connection_id))
        else:
            self._joins.append(group)

    async def leave(self, group: str) -> None:
        """Leave a group."""
        if self.is_stored:
            await self._hub.store.leave(group, self.connection_id)
        else:
            self._joins = [name for name in self._joins if name != group]

    async def keep_pending(self) -> None:
        """Keep the messages that wait until the connection is open. If that fails, `failure` says why: the application
        has to be ended first."""
        if not self.pending:
            return
        record = replace(self.record, has_pending=True)
        try:
            await self._hub.store.hold(self.connection_id, self.pending, record.target.expires_at)
            await self._hub.store.update(record.as_entry())
        except BackendError as error:
            self.failure = error
        else:
            self.record = record

    async def forget(self) -> None:
        """Delete all that is stored of the connection."""
        if self.is_stored:
            await self._hub.store.delete(self.connection_id)

    async def try_to_forget(self) -> None:
        """The same where another error is on its way: what stays expires, and nobody is told of it."""
        with suppress(BackendError, TimeoutError):
            async with asyncio.timeout(_FORGET_S):
                await self.forget()


class WebSocketExchange:
    """One event of a WebSocket connection: built, run once, thrown away.

    If the reply is on its way before the invocation has ended, the connection is open right after CONNECT, and the
    messages that the application has sent to it by then are delivered.
    """

    has_tasks = True
    is_cut_off = False

    def __init__(self, app: ASGI, event: WebSocketEvent, hub: Hub, reply: Reply) -> None:
        self.is_answered: bool = False
        self.line = f"WebSocket {event.type.value}"
        self._app = app
        self._event = event
        self._hub = hub
        self._reply = reply
        self._failure: Exception | None = None  # for the caller
        self._settled: dict[str, Any] | None = None  # the answer, while the application cleans up
        self._background = BackgroundTasks()
        self._accepted: OwnConnection | None = None  # at CONNECT, whose messages may wait until it is open
        self._due: float | None = None  # when API Gateway must have answered, in the loop's time

    async def run(self, state: dict[str, Any] | None, deadline: Deadline | None, group: TaskGroup | None) -> None:
        """Answer the event. `state` is the lifespan's."""
        assert group is not None  # see `has_tasks`
        if deadline is not None:
            self._due = last_answer(deadline.due)
        handle = {
            EventType.CONNECT: self._connect,
            EventType.MESSAGE: self._message,
            EventType.DISCONNECT: self._disconnect,
        }[self._event.type]
        try:
            self._answer(await handle(group, state))
            if self._accepted is not None and self._reply.sends_at_once:
                await self._accepted.deliver_pending()
        except Exception as error:
            self._failure = error
        except asyncio.CancelledError:
            if self._settled is not None and not self.is_answered and deadline is not None and deadline.expired:
                self._answer(self._settled)
            await self._background.cancel()
            raise
        await self._background.join()

    def _answer(self, answer: dict[str, Any]) -> None:
        self.is_answered = True
        logger.info("%s %d", self.line, answer["statusCode"])
        self._reply.send(answer)

    def abandon(self) -> None:
        """The answer is whole, or not there."""

    async def finish(self, *, in_time: bool) -> None:
        """At the end of the invocation.

        Raises:
            MangumError: the store or API Gateway failed.
        """
        if self._failure is not None:
            raise self._failure
        if not self._reply.is_sent:
            self._reply.send({"statusCode": 500 if in_time else 504})

    async def _connect(self, group: TaskGroup, state: dict[str, Any] | None) -> dict[str, Any]:
        event = self._event
        handshake = event.handshake()
        target = Address(event.endpoint_url, time.time())
        own = OwnConnection(event, ConnectionRecord(event.connection_id, target, handshake), self._hub, self._due)
        cycle = self._cycle(own, handshake, state)
        root_of(asyncio.get_running_loop()).start_soon(self._purge, "mangum-purge")
        accepted = False
        try:
            await self._settle(cycle, group)
            status = 500 if own.failure is not None else _handshake_status(cycle)
            if status == 200:
                await own.keep_pending()
            if own.failure is None:
                accepted = status == 200
                self._accepted = own if accepted else None
                self._settled = {"statusCode": status}
                if accepted and cycle.subprotocol is not None:
                    self._settled["headers"] = {"Sec-WebSocket-Protocol": cycle.subprotocol}
            await self._end(cycle)
            if own.failure is not None:
                raise own.failure
        finally:
            if not accepted:
                await own.try_to_forget()
        return cast("dict[str, Any]", self._settled)

    async def _message(self, group: TaskGroup, state: dict[str, Any] | None) -> dict[str, Any]:
        event = self._event
        record = await self._hub.load(event.connection_id)
        if record is None:
            logger.warning("A message came from a connection that is not in the store: it is closed.")
            await self._close(Address(event.endpoint_url, 0))
            return {"statusCode": _GONE}
        own = OwnConnection(event, record, self._hub, self._due)
        await own.deliver_pending()
        cycle = self._cycle(own, record.handshake, state)
        try:
            await self._settle(cycle, group)
            goes_on = not (cycle.ended or cycle.closed)
            status = 403 if cycle.is_refused and cycle.error is None else _status(cycle, own)
            self._settled = {"statusCode": status}
            await self._end(cycle)
        except asyncio.CancelledError:
            if cycle.closed:
                await own.try_to_forget()
                self._due = asyncio.get_running_loop().time() + _CLOSE_S
                await self._close_after(own)
            raise
        if not goes_on:
            await own.forget()
            await self._close_after(own)
        return self._settled

    async def _disconnect(self, group: TaskGroup, state: dict[str, Any] | None) -> dict[str, Any]:
        record = await self._hub.load(self._event.connection_id)
        if record is None:  # the application has closed it itself
            return {"statusCode": 200}
        own = OwnConnection(self._event, record, self._hub, self._due)
        cycle = self._cycle(own, record.handshake, state)
        try:
            await self._settle(cycle, group)
            self._settled = {"statusCode": _status(cycle, own)}
            await self._end(cycle)
        except (BackendError, asyncio.CancelledError):
            await own.try_to_forget()  # there is no second DISCONNECT
            raise
        await own.forget()
        return self._settled

    def _cycle(self, own: OwnConnection, handshake: Handshake, state: dict[str, Any] | None) -> WebSocketCycle:
        event = self._event
        scope = event.scope(handshake)
        scope["aws.connections"] = Connections(self._hub, self._due, own)
        scope["aws.task_group"] = self._background
        if state is not None:
            scope["state"] = state
        message = None if event.type is EventType.CONNECT else event.message()
        return WebSocketCycle(self._app, scope, own, own.effects, message, self._background)

    async def _settle(self, cycle: WebSocketCycle, group: TaskGroup) -> None:
        group.start_soon(cycle.run)
        try:
            await cycle.settle()
        except asyncio.CancelledError:  # the group would cancel the application wherever its clean-up awaits
            await self._end(cycle)
            raise

    async def _end(self, cycle: WebSocketCycle) -> None:
        failure = cycle.error
        await cycle.end()
        if cycle.error is not failure:
            logger.error("An error occurred in the application's clean-up.", exc_info=cycle.error)

    async def _close_after(self, own: OwnConnection) -> None:
        """Close a connection after it has been forgotten: DISCONNECT may come while API Gateway closes it."""
        if not own.is_gone:
            await self._close(own.record.target)

    async def _close(self, target: Address) -> None:
        try:
            await self._hub.close_connection(self._event.connection_id, target, self._due)
        except MangumError as error:
            logger.warning("The connection could not be closed: %s", error)

    async def _purge(self) -> None:
        try:
            await self._hub.store.purge()
        except BackendError as error:
            logger.warning("Expired connections were not removed: %s", error)


def _handshake_status(cycle: WebSocketCycle) -> int:
    """The answer to CONNECT, when the application has settled."""
    if cycle.error is not None:
        return _failed(cycle.error)
    if cycle.denial is not None:  # 2xx would let the client in
        return 403 if 200 <= cycle.denial < 300 else cycle.denial
    if cycle.is_refused and (cycle.accepted or cycle.closed):
        return 403
    if cycle.accepted:
        return 200
    logger.error("The application returned before it had accepted or closed the connection.")
    return 500


def _status(cycle: WebSocketCycle, own: OwnConnection) -> int:
    """The answer to MESSAGE or DISCONNECT, when the application has settled."""
    if cycle.error is None:
        return 200
    if own.is_gone and _is_caused_by_gone(cycle.error):
        logger.info("The client has gone: %r", cycle.error)
        return 200
    return _failed(cycle.error)


def _is_caused_by_gone(error: BaseException) -> bool:
    """Whether a `send` on a closed connection lies behind it; Starlette makes a `WebSocketDisconnect` of that, and a
    task group one of a group."""
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, ConnectionGone):
        if isinstance(seen, BaseExceptionGroup):
            return all(_is_caused_by_gone(each) for each in seen.exceptions)
        seen = seen.__cause__ or seen.__context__
    return seen is not None


def _failed(error: BaseException) -> int:
    """Log what the application raised; what only Lambda can deal with is raised."""
    failure = _backend_error(error)
    if failure is not None:
        raise failure
    logger.error("An error occurred running the application.", exc_info=error)
    return 500


def _backend_error(error: BaseException) -> BackendError | None:
    """What the store said, if nothing else has gone wrong. A task group makes a group of it."""
    if isinstance(error, BaseExceptionGroup):
        found = [_backend_error(each) for each in error.exceptions]
        return found[0] if all(found) else None
    return error if isinstance(error, BackendError) else None
