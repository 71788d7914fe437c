"""The selector that tells when a loop has nothing to do, and is asyncio's in all else."""

from __future__ import annotations

import asyncio
import os
import selectors
import socket
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import pytest

from mangum.core.idle_selector import IdleSelector

T = TypeVar("T")


@pytest.fixture
def selector() -> Iterator[IdleSelector]:
    selector = IdleSelector()
    yield selector
    selector.close()


def run(selector: selectors.BaseSelector, main: Coroutine[Any, Any, T]) -> T:
    loop = asyncio.SelectorEventLoop(selector)
    try:
        return loop.run_until_complete(main)
    finally:
        loop.close()


def test_idle_comes_when_no_task_can_run() -> None:
    selector = IdleSelector()
    log: list[str] = []

    async def work() -> None:
        for step in range(3):
            await asyncio.sleep(0)
            log.append(f"step {step}")
        await asyncio.sleep(60)

    async def main() -> None:
        task = asyncio.create_task(work())
        await selector.wait_idle()
        log.append("idle")
        await selector.wait_idle()  # still
        log.append("idle")
        task.cancel()

    run(selector, main())
    assert log == ["step 0", "step 1", "step 2", "idle", "idle"]


def test_a_socket_that_is_ready_comes_before_idle() -> None:
    selector = IdleSelector()
    log: list[str] = []

    async def main() -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            loop = asyncio.get_running_loop()
            receiving = asyncio.create_task(loop.sock_recv(ours, 10))
            receiving.add_done_callback(lambda _: log.append("received"))
            await asyncio.sleep(0)
            theirs.send(b"x")
            await selector.wait_idle()
            log.append("idle")

    run(selector, main())
    assert log == ["received", "idle"]


def test_all_who_wait_are_told_and_those_who_have_given_up_are_not() -> None:
    selector = IdleSelector()
    log: list[str] = []

    async def wait(name: str) -> None:
        await selector.wait_idle()
        log.append(name)

    async def main() -> None:
        tasks = [asyncio.create_task(wait(name)) for name in "abc"]
        await asyncio.sleep(0)
        tasks[1].cancel()
        await asyncio.wait(tasks)
        assert not [waiting for waiting in tasks if not waiting.done()]

    run(selector, main())
    assert log == ["a", "c"]


@pytest.mark.parametrize("waits_for_idle", [False, True])
def test_a_busy_loop_sees_a_socket_as_early_as_with_asyncios_selector(waits_for_idle: bool) -> None:
    """With 16 tasks that always have something to do."""

    def turns_until_seen(selector: selectors.BaseSelector, wait_idle: Callable[[], Coroutine[Any, Any, None]]) -> int:
        async def main() -> int:
            loop = asyncio.get_running_loop()
            ours, theirs = socket.socketpair()
            seen = asyncio.Event()
            turns = 0

            async def step() -> None:
                while not seen.is_set():
                    await asyncio.sleep(0)

            with ours, theirs:
                loop.add_reader(ours, seen.set)
                tasks = [asyncio.create_task(step()) for _ in range(16)]
                waiting = asyncio.create_task(wait_idle())
                for _ in range(10):
                    await asyncio.sleep(0)
                theirs.send(b"x")
                while not seen.is_set():
                    turns += 1
                    await asyncio.sleep(0)
                loop.remove_reader(ours)
                waiting.cancel()
                await asyncio.wait([*tasks, waiting])
            return turns

        return run(selector, main())

    async def nothing() -> None:
        pass

    idle = IdleSelector()
    assert turns_until_seen(idle, idle.wait_idle if waits_for_idle else nothing) == turns_until_seen(
        selectors.DefaultSelector(), nothing
    )


def test_once_idle_has_come_the_loop_waits_as_before(selector: IdleSelector) -> None:
    asked: list[float | None] = []

    class Counted(IdleSelector):
        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            asked.append(timeout)
            return super().select(timeout)

    counted = Counted()

    async def main() -> None:
        await counted.wait_idle()
        asked.clear()
        await asyncio.sleep(0.01)

    run(counted, main())
    assert any(timeout is None or timeout > 0 for timeout in asked)  # it sleeps, and does not spin


def test_one_that_is_detached_leaves_the_files_of_the_other_process_alone(selector: IdleSelector) -> None:
    """Here a second descriptor of the kernel's list stands for the parent's."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        selector.register(ours, selectors.EVENT_READ)
        if not hasattr(selectors, "EpollSelector"):
            pytest.skip("the kernel's list is no epoll")
        import select

        parent = select.epoll.fromfd(os.dup(selector.fileno()))
        selector.detach()
        selector.unregister(ours)
        theirs.send(b"x")
        assert parent.poll(0) == [(ours.fileno(), select.EPOLLIN)]
        assert selector.select(0) == []
        parent.close()
