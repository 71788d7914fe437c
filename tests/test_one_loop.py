"""One loop for the process: which loop that is, who may use it, and who closes it.

The tests that concern the whole process run a program of their own, with warnings as errors. It prints nothing on
stderr.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import pytest

PREAMBLE = """
import asyncio, atexit, gc, logging, os, signal, sys, threading, weakref
logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(message)s", level=logging.WARNING)
logging.getLogger("asyncio").addFilter(lambda record: " took " not in record.getMessage())
from mangum import Mangum
from mangum.core.loop import warm_loop
from mangum.exceptions import LoopError
from tests.apps import Context, WithLifespan, hello, respond

def event(path="/"):
    return {"httpMethod": "GET", "path": path, "requestContext": {"elb": {}}}

def call(handler, path="/"):
    return handler(event(path), None)["statusCode"]

seen = []

async def app(scope, receive, send):
    seen.append(asyncio.get_running_loop())
    await respond(send)
"""


def run(program: str, *, status: int = 0) -> list[str]:
    """What a program prints."""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", PREAMBLE + textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert (done.returncode, done.stderr) == (status, ""), done.stdout
    return done.stdout.splitlines()


# Which loop


def test_the_current_loop_is_adopted_and_never_closed() -> None:
    lines = run("""
        import anyio.to_thread
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        atexit.register(lambda: (print("closed" if loop.is_closed() else "open"), loop.close()))

        async def threaded(scope, receive, send):
            assert asyncio.get_running_loop() is loop
            await anyio.to_thread.run_sync(int)
            await asyncio.to_thread(int)
            await respond(send)

        for arguments in [{"lifespan": "off"}, {}, {"lifespan_scope": "process"}]:
            print(call(Mangum(WithLifespan(threaded), **arguments)))
        with Mangum(hello, "off") as handler:
            print(call(handler))
        assert asyncio.get_event_loop() is loop
    """)
    assert lines == ["200", "200", "200", "200", "open"]


@pytest.mark.parametrize(
    "make", ["Own()", "special(asyncio.SelectorEventLoop())"], ids=["a class of its own", "asyncio's class"]
)
def test_a_new_loop_is_the_policys(make: str) -> None:
    lines = run(f"""
        class Own(asyncio.SelectorEventLoop):
            name = "special"

        def special(loop):
            loop.name = "special"
            return loop

        class Policy(asyncio.DefaultEventLoopPolicy):
            def new_event_loop(self):
                return {make}

        asyncio.set_event_loop_policy(Policy())
        handler = Mangum(app)
        print(asyncio.get_event_loop().name)
        print(call(handler))
        assert set(seen) == {{asyncio.get_event_loop()}}
    """)
    assert lines == ["special", "200"]


def test_the_loop_is_there_when_the_first_adapter_is_built() -> None:
    lines = run("""
        asyncio.run(asyncio.sleep(0))
        handler = Mangum(app)
        loop = asyncio.get_event_loop()
        second = Mangum(app, "off")
        asyncio.run(asyncio.sleep(0))
        third = Mangum(app, lifespan_scope="process")
        assert asyncio.get_event_loop() is loop
        print(call(handler), call(second), call(third))
        assert set(seen) == {loop}
    """)
    assert lines == ["200 200 200"]


def test_clients_made_at_import_belong_to_the_loop() -> None:
    lines = run("""
        handler = Mangum(None or (lambda *message: ask(*message)), "off")
        loop = asyncio.get_event_loop()

        async def serve(reader, writer):
            while line := await reader.readline():
                writer.write(line.upper())
            writer.close()

        async def connect():
            server = await asyncio.start_server(serve, "127.0.0.1", 0)
            return server, *await asyncio.open_connection(*server.sockets[0].getsockname())

        async def disconnect():
            writer.close()
            await writer.wait_closed()
            server.close()
            await server.wait_closed()

        async def ask(scope, receive, send):
            writer.write(b"hello\\n")
            await respond(send, body=await reader.readline())

        server, reader, writer = loop.run_until_complete(connect())
        print(handler(event(), None)["body"].strip())
        print(loop.run_until_complete(asyncio.sleep(0, "a job beside the handler")))
        print(handler(event(), None)["body"].strip())
        loop.run_until_complete(disconnect())
    """)
    assert lines == ["HELLO", "a job beside the handler", "HELLO"]


def test_a_closed_loop_is_replaced() -> None:
    lines = run("""
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        handler = Mangum(WithLifespan(app), lifespan_scope="process")
        print(call(Mangum(app)))
        loop.close()
        print(call(handler))
        assert seen[0] is loop
        assert seen[-1] is asyncio.get_event_loop() is not loop
        asyncio.get_event_loop().close()
        second = asyncio.get_event_loop()
        print(call(Mangum(app, "off")))
        assert seen[-1] is asyncio.get_event_loop() is not second
        seen.clear()
        del second
        gc.collect()
    """)
    assert lines == ["200", "200", "200"]


@pytest.mark.parametrize("handles", [False, True])
def test_closing_the_loop_of_mangum_is_allowed(handles: bool) -> None:
    """Its root task, of which a program knows nothing, is not reported as lost; other tasks are."""
    lines = run(f"""
        handler = Mangum(app)
        loop = asyncio.get_event_loop()
        if {handles}:
            loop.set_exception_handler(lambda loop, context: print("handled:", context["message"]))
        print(call(handler))
        lost = loop.create_task(asyncio.sleep(60))
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        print(call(handler))
        seen.clear()
        del lost, loop
        gc.collect()
    """)
    kind = "handled:" if handles else "ERROR"
    assert lines[:3] == ["200", "200", f"{kind} Task was destroyed but it is pending!"]
    assert "mangum-root" not in "".join(lines)


def test_a_current_loop_that_runs_in_another_thread_is_left_alone() -> None:
    lines = run("""
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result()
        handler = Mangum(app)
        print(call(handler))
        assert seen[0] is not loop
        assert asyncio.get_event_loop() is loop
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
    """)
    assert lines == ["200"]


def test_a_loop_that_its_user_runs_in_a_thread_is_reported() -> None:
    lines = run("""
        handler = Mangum(app, "off")
        loop = asyncio.get_event_loop()
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result()
        second = Mangum(app)
        try:
            call(second)
        except LoopError as error:
            print(error)
        print(asyncio.run_coroutine_threadsafe(second.invoke(event(), None), loop).result()["statusCode"])
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        print(call(second))
    """)
    assert "running in another thread: use `await handler.invoke(event, context)` there" in lines[0]
    assert lines[1:] == ["200", "200"]


def test_an_adapter_built_inside_a_running_loop_serves_there_and_later_outside() -> None:
    lines = run("""
        async def main():
            handler = Mangum(app, "off")
            print((await handler.invoke(event(), None))["statusCode"])
            return handler

        handler = asyncio.run(main())
        print(call(handler))
        assert seen[0] is not seen[1]
    """)
    assert lines == ["200", "200"]


def test_threads_that_build_adapters_at_once_share_a_loop() -> None:
    lines = run("""
        barrier = threading.Barrier(4)

        def work():
            barrier.wait()
            answers.append(call(Mangum(app)))

        answers = []
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(seen)) == 1
        print(answers)
    """)
    assert lines == ["[200, 200, 200, 200]"]


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="the policy is not touched")
def test_other_threads_can_make_loops_while_mangum_looks_for_the_current_one() -> None:
    lines = run("""
        def make():
            asyncio.new_event_loop().close()
            print("made")

        class Policy(asyncio.DefaultEventLoopPolicy):
            def get_event_loop(self):
                thread = threading.Thread(target=make)
                thread.start()
                thread.join()
                return super().get_event_loop()

        asyncio.set_event_loop_policy(Policy())
        print(call(Mangum(app, "off")))
    """)
    assert lines == ["made", "200"]


# Many adapters


@pytest.mark.parametrize("arguments", ['"off"', "", 'lifespan_scope="process"'], ids=["off", "default", "process"])
def test_an_adapter_for_each_event_leaves_nothing(arguments: str) -> None:
    run(f"""
        async def count(scope, receive, send):
            tasks.append(len(asyncio.all_tasks()))
            await respond(send)

        tasks = []

        def serve():
            handler = Mangum(WithLifespan(count), {arguments})
            return handler(event(), Context())

        def census():
            serve()
            gc.collect()
            last = tasks[-1]
            tasks.clear()
            return last, len(os.listdir("/dev/fd")), threading.active_count(), len(gc.get_objects())

        for _ in range(10):
            serve()
        before = census()
        for _ in range(300):
            serve()
        after = census()
        assert after[:3] == before[:3], (before, after)
        assert after[3] - before[3] < 50, (before, after)
    """)


def test_an_adapter_dropped_in_an_invocation_is_shut_down() -> None:
    lines = run("""
        inner = WithLifespan()

        async def drops(scope, receive, send):
            handlers.clear()
            await respond(send)

        handlers = [Mangum(inner, lifespan_scope="process")]
        print(call(handlers[0]))
        print(call(Mangum(drops, "off")))
        print(call(Mangum(hello, "off")))
        print(call(Mangum(hello, "off")))
        print(inner.log)
    """)
    assert lines == ["200", "200", "200", "200", "['startup', 'request', 'shutdown']"]


def test_an_adapter_dropped_by_another_thread_while_the_loop_runs_is_shut_down() -> None:
    lines = run("""
        inner = WithLifespan()

        async def drops(scope, receive, send):
            await asyncio.to_thread(handlers.clear)
            while "shutdown" not in inner.log:
                await asyncio.sleep(0)
            await respond(send)

        handlers = [Mangum(inner, lifespan_scope="process")]
        print(call(handlers[0]))
        print(call(Mangum(drops, "off")))
    """)
    assert lines == ["200", "200"]


def test_an_adapter_dropped_in_an_invocation_may_fail_to_shut_down() -> None:
    lines = run("""
        async def fails(scope, receive, send):
            if scope["type"] == "http":
                await respond(send)
                return
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.failed", "message": "still busy"})

        async def drops(scope, receive, send):
            handlers.clear()
            await respond(send)

        logging.getLogger().handlers[0].setFormatter(logging.Formatter("%(message)s"))
        handlers = [Mangum(fails, lifespan_scope="process")]
        print(call(handlers[0]), call(Mangum(drops, "off")), flush=True)
        warm_loop().run(asyncio.sleep(0.01), "")
    """)
    assert lines[:2] == ["200 200", "The application could not be shut down."]
    assert "still busy" in lines[-1]


def test_an_adapter_dropped_when_a_call_begins_is_shut_down_after_it() -> None:
    """The garbage collector may run while this thread has the loop, which does not run yet."""
    lines = run("""
        def collect_and_make(loop, coroutine, **options):
            gc.collect()
            return asyncio.Task(coroutine, loop=loop, **options)

        gc.disable()
        inner = WithLifespan()
        dropped = Mangum(inner, lifespan_scope="process")
        print(call(dropped))
        dropped.itself = dropped
        del dropped
        handler = Mangum(hello, "off")
        asyncio.get_event_loop().set_task_factory(collect_and_make)
        print(call(handler))
        print(inner.log)
    """)
    assert lines == ["200", "200", "['startup', 'request', 'shutdown']"]


def test_an_adapter_dropped_as_the_loop_closes_leaves_no_task() -> None:
    lines = run("""
        async def holds(scope, receive, send):
            tasks.append(asyncio.create_task(hold(handlers.pop())))
            await asyncio.sleep(0)
            await respond(send)

        async def hold(handler):
            await asyncio.sleep(60)

        inner = WithLifespan()
        tasks, handlers = [], [Mangum(inner, lifespan_scope="process")]
        print(call(handlers[0]))
        print(call(Mangum(holds, "off")))
    """)
    assert lines == ["200", "200"]


# What applications do to the loop


@pytest.mark.parametrize("arguments", ['"off"', "", 'lifespan_scope="process"'], ids=["off", "default", "process"])
def test_an_application_may_cancel_all_tasks(arguments: str) -> None:
    lines = run(f"""
        async def cancels(scope, receive, send):
            if scope["path"] == "/cancel":
                for task in asyncio.all_tasks():
                    task.cancel()
                if scope["raw_path"]:
                    await asyncio.sleep(0)
            await respond(send)

        handler = Mangum(WithLifespan(cancels), {arguments})
        for _ in range(2):
            try:
                print(call(handler, "/cancel"))
            except asyncio.CancelledError:
                print("cancelled")
            print(call(handler))
    """)
    assert lines[1::2] == ["200", "200"]
    assert set(lines[::2]) <= {"cancelled", "200", "500"}


def test_children_of_a_root_that_is_cancelled_before_they_begin() -> None:
    """Such as the lifespan of an application whose adapter is called the first time just then."""
    lines = run("""
        inner = WithLifespan()
        second = Mangum(inner, lifespan_scope="process")

        async def cancels(scope, receive, send):
            others = asyncio.all_tasks() - {asyncio.current_task()}
            answer = asyncio.create_task(second.invoke(event(), None))
            while not inner_root_is_wanted():
                await asyncio.sleep(0)
            for task in others:
                task.cancel()
            print((await answer)["statusCode"])
            await respond(send)

        def inner_root_is_wanted():
            from mangum.core.root import root_of
            return root_of(asyncio.get_running_loop())._waiting

        print(call(Mangum(cancels, "off")))
        print(call(second))
        print(inner.log)
    """)
    assert lines == ["200", "200", "200", "['startup', 'request', 'request']"]


@pytest.mark.parametrize("is_adopted", [False, True])
def test_an_application_may_stop_the_loop(is_adopted: bool) -> None:
    lines = run(f"""
        if {is_adopted}:
            asyncio.set_event_loop(asyncio.new_event_loop())
            atexit.register(asyncio.get_event_loop().close)

        async def stops(scope, receive, send):
            asyncio.get_running_loop().stop()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            await respond(send)
            asyncio.get_running_loop().stop()

        handler = Mangum(stops, "off")
        print(call(handler), call(handler))
        if not {is_adopted}:  # for asyncio itself, a stop in a task's last step stops the next run
            print(asyncio.get_event_loop().run_until_complete(asyncio.sleep(0, "a job")))
            warm_loop().close()
            print(call(handler))
    """)
    assert lines == ["200 200"] + ([] if is_adopted else ["a job", "200"])


def test_a_task_may_stop_the_loop_while_it_closes() -> None:
    lines = run("""
        async def stop():
            try:
                await asyncio.sleep(60)
            finally:
                asyncio.get_running_loop().stop()
                await asyncio.sleep(0)
                tasks.append(asyncio.create_task(asyncio.sleep(60)))
                print("stopped")

        async def starts(scope, receive, send):
            tasks.append(asyncio.create_task(stop()))
            await asyncio.sleep(0)
            await respond(send)

        tasks = []
        print(call(Mangum(starts, "off")))
        warm_loop().close()
        print([task.cancelled() for task in tasks])
    """)
    assert lines == ["200", "stopped", "[True, True]"]


@pytest.mark.parametrize("arguments", ['"off"', "", 'lifespan_scope="process"'], ids=["off", "default", "process"])
def test_an_application_may_exit(arguments: str) -> None:
    lines = run(
        f"""
        async def exits(scope, receive, send):
            try:
                if scope["path"] == "/exit":
                    sys.exit(3)
                await respond(send)
            finally:
                print("cleaned up")

        handler = Mangum(WithLifespan(exits), {arguments})
        try:
            call(handler, "/exit")
        except SystemExit as error:
            print(repr(error))
        print(call(handler))
        call(handler, "/exit")
        """,
        status=3,
    )
    assert lines == ["cleaned up", "SystemExit(3)", "cleaned up", "200", "cleaned up"]


def test_a_signal_during_an_invocation_that_fails_is_not_lost() -> None:
    lines = run(
        """
        async def fails(scope, receive, send):
            if scope["type"] == "lifespan":
                await receive()
                await send({"type": "lifespan.startup.complete"})
                await receive()
                print("shut down", flush=True)
                await send({"type": "lifespan.shutdown.complete"})
            else:
                os.kill(os.getpid(), signal.SIGTERM)
                asyncio.current_task().cancel()
                raise asyncio.CancelledError

        handler = Mangum(fails, lifespan_scope="process")
        handler.start()
        try:
            call(handler)
        finally:
            signal.pause()
        """,
        status=-signal.SIGTERM,
    )
    assert lines == ["shut down"]


def test_an_adapter_built_while_the_interpreter_ends_works() -> None:
    lines = run("atexit.register(lambda: (print(call(Mangum(app))), warm_loop().close()))")
    assert lines == ["200"]


# Threads


@pytest.mark.parametrize("arguments", ['"off"', "", 'lifespan_scope="process"'], ids=["off", "default", "process"])
@pytest.mark.parametrize("where", ["main", "thread", "adopted"])
def test_worker_threads_end_before_the_exit(arguments: str, where: str) -> None:
    lines = run(f"""
        import anyio.to_thread
        if "{where}" == "adopted":
            asyncio.set_event_loop(asyncio.new_event_loop())
            atexit.register(asyncio.get_event_loop().close)

        async def threaded(scope, receive, send):
            threads.append(await anyio.to_thread.run_sync(threading.get_ident))
            await asyncio.to_thread(int)
            await respond(send)

        threads = []
        handler = Mangum(WithLifespan(threaded), {arguments})

        def work():
            print(call(handler), call(handler), call(handler))

        if "{where}" == "thread":
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
        else:
            work()
        if "{where}" != "adopted":
            assert len(set(threads)) == 1
    """)
    assert lines == ["200 200 200"]


# Processes

FORK = """
import multiprocessing, socket
context = multiprocessing.get_context("fork")

async def connected(scope, receive, send):
    global reader, writer
    if reader is None:
        reader, writer = await asyncio.open_connection(sock=ours)
    if scope["path"] == "/fork":
        await answer(scope, send)
    else:
        theirs.send(b"hello\\n")
        line = await asyncio.wait_for(reader.readline(), 20)
        await asyncio.wait_for(asyncio.to_thread(int), 20)  # it wakes the loop up
        await respond(send, body=line)

async def end():
    theirs.close()
    writer.close()
    await writer.wait_closed()

ours, theirs = socket.socketpair()
reader = writer = None
inner = WithLifespan(connected)
"""


@pytest.mark.parametrize("arguments", ['"off"', "", 'lifespan_scope="process"'], ids=["off", "default", "process"])
@pytest.mark.parametrize("is_adopted", [False, True])
def test_a_child_leaves_the_parents_loop_alone(arguments: str, is_adopted: bool) -> None:
    """It closes what it has itself, and ends as any process does."""
    lines = run(f"""
        {textwrap.indent(FORK, " " * 8).strip()}
        if {is_adopted}:
            loop = asyncio.new_event_loop()
            asyncio.set_event_loop(loop)
            parent = os.getpid()
            atexit.register(lambda: loop.close() if os.getpid() == parent else None)

        def child(handler):
            own = WithLifespan()
            with Mangum(own, {arguments}) as second:
                print("own", call(second), call(second))
            reply = handler(event("/fork"), None)
            print("inherited", reply["statusCode"], flush=True)

        async def answer(scope, send):
            await respond(send, 204)

        handler = Mangum(inner, {arguments})
        print(handler(event(), None)["body"].strip(), flush=True)
        process = context.Process(target=child, args=(handler,))
        process.start()
        process.join()
        print(process.exitcode)
        print(handler(event(), None)["body"].strip())
        assert inner.log.count("startup") - inner.log.count("shutdown") == ("process" in {arguments!r})
        handler.run(end)
    """)
    assert lines == ["hello", "own 200 200", "inherited 204", "0", "hello"]


@pytest.mark.parametrize(
    ("arguments", "end"),
    [
        ('"off"', "sys.exit(5)"),
        ('"off"', "os._exit(5)"),
        ("", "os._exit(5)"),
        ('lifespan_scope="process"', "os._exit(5)"),
        ('lifespan_scope="process"', "os.kill(os.getpid(), signal.SIGTERM)"),
    ],
)
def test_a_child_forked_in_a_handler_leaves_the_parents_loop_alone(arguments: str, end: str) -> None:
    lines = run(f"""
        {textwrap.indent(FORK, " " * 8).strip()}
        async def answer(scope, send):
            pid = os.fork()
            if not pid:
                os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # for its copies of the parent's tasks
                print("child", call(Mangum(hello, "off")) if is_outside() else "", flush=True)
                {end}
            _, status = os.waitpid(pid, 0)
            print(os.waitstatus_to_exitcode(status) in (5, -signal.SIGTERM))
            await respond(send)

        def is_outside():
            try:
                asyncio.get_running_loop()
            except RuntimeError:
                return True

        handler = Mangum(inner, {arguments})
        print(handler(event(), None)["body"].strip(), flush=True)
        print(call(handler, "/fork"))
        print(handler(event(), None)["body"].strip())
        handler.run(end)
    """)
    assert lines == ["hello", "child 200", "True", "200", "hello"]
