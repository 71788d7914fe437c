"""The Runtime API of `mangum dev --workers`, asked by all kinds of runtimes, which it holds to what Lambda's does."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from mangum.handlers.bodies import LAMBDA_RESPONSE_LIMIT
from mangum.local.function import FunctionFailed, FunctionSettings
from mangum.local.streams import StreamBroken, StreamedAnswer
from mangum.local.workers.runtime_api import Delivery, RuntimeAPI

pytestmark = pytest.mark.anyio

RUNTIME = "/2018-06-01/runtime"
EXTENSION = "/2020-01-01/extension"
SETTINGS = FunctionSettings(target="app:handler", folder=Path("/function"), timeout_s=20)


class Runtime:
    """A runtime's connections to the API of its sandbox."""

    def __init__(self, api: RuntimeAPI, address: str, client: httpx.AsyncClient) -> None:
        self.api = api
        self.address = address
        self.client = client

    def deliver(self, event: str = '{"x": 1}') -> Delivery:
        """What Lambda does with an event."""
        delivery = Delivery("the-request", event, SETTINGS)
        self.api.deliver(delivery)
        return delivery

    async def next(self, event: str = '{"x": 1}') -> tuple[Delivery, httpx.Response]:
        """Ask for an event, and get one."""
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(self.client.get(f"{RUNTIME}/invocation/next"))
            await self.api.wait_ready()
            delivery = self.deliver(event)
        return delivery, asking.result()

    async def respond(self, content: bytes = b"{}", request_id: str = "the-request", **headers: str) -> httpx.Response:
        """Answer it."""
        spelled = {name.replace("_", "-"): value for name, value in headers.items()}
        path = f"{RUNTIME}/invocation/{request_id}/response"
        return await self.client.post(path, content=content, headers=spelled)

    async def send(self, *parts: bytes) -> bytes:
        """What a connection of its own gets for bytes, and for its end."""
        host, _, port = self.address.partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        for part in parts:
            writer.write(part)
            await writer.drain()
        writer.write_eof()
        async with asyncio.timeout(20):
            got = await reader.read()
        writer.close()
        return got


@pytest.fixture
async def runtime() -> AsyncIterator[Runtime]:
    api = RuntimeAPI(SETTINGS)
    address = await api.listen()
    async with httpx.AsyncClient(base_url=f"http://{address}", timeout=20) as client:
        try:
            yield Runtime(api, address, client)
        finally:
            api.close()


def refusal(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["errorType"]


class TestEvents:
    async def test_an_event_and_its_answer(self, runtime: Runtime) -> None:
        assert not runtime.api.is_ready
        delivery, response = await runtime.next()
        assert (response.status_code, response.json()) == (200, {"x": 1})
        assert response.headers["lambda-runtime-aws-request-id"] == "the-request"
        assert response.headers["lambda-runtime-invoked-function-arn"] == SETTINGS.arn
        assert int(response.headers["lambda-runtime-deadline-ms"]) == delivery.deadline_ms
        accepted = await runtime.respond(
            b'"fine"', lambda_runtime_invocation_id=delivery.invocation_id, mangum_parts='{"application": 2}'
        )
        assert (accepted.status_code, accepted.json()) == (202, {"status": "OK"})
        assert await delivery.answer == '"fine"'
        assert delivery.parts_ms == {"application": 2.0}
        again, response = await runtime.next('{"y": 2}')
        assert response.json() == {"y": 2}
        assert not again.answer.done()

    @pytest.mark.parametrize("parts", ["nonsense", "[1]", '{"a": null}'])
    async def test_parts_that_are_none(self, runtime: Runtime, parts: str) -> None:
        delivery, _ = await runtime.next()
        await runtime.respond(mangum_parts=parts)
        assert (await delivery.answer, delivery.parts_ms) == ("{}", {})

    async def test_a_runtime_that_asks_twice(self, runtime: Runtime) -> None:
        delivery, _ = await runtime.next()
        again = await runtime.client.get(f"{RUNTIME}/invocation/next")
        assert again.headers["lambda-runtime-invocation-id"] == delivery.invocation_id

    async def test_a_runtime_that_no_longer_waits(self, runtime: Runtime) -> None:
        asking = asyncio.ensure_future(runtime.client.get(f"{RUNTIME}/invocation/next"))
        await runtime.api.wait_ready()
        asking.cancel()
        await asyncio.wait((asking,))
        async with asyncio.timeout(20):
            while runtime.api.is_ready:
                await asyncio.sleep(0)
        delivery, response = await runtime.next()
        await runtime.respond()
        assert (response.status_code, await delivery.answer) == (200, "{}")

    async def test_errors(self, runtime: Runtime) -> None:
        for content, headers, expected in [
            (b'{"errorType": "ValueError", "errorMessage": "no"}', {}, "ValueError: no"),
            (b"{}", {"Lambda-Runtime-Function-Error-Type": "Mine"}, "Mine"),
            (b"text", {}, "Runtime.Unknown: text"),
            (b"[]", {}, "Runtime.Unknown: []"),
        ]:
            delivery, _ = await runtime.next()
            path = f"{RUNTIME}/invocation/the-request/error"
            assert (await runtime.client.post(path, content=content, headers=headers)).status_code == 202
            with pytest.raises(FunctionFailed) as caught:
                await delivery.answer
            assert str(caught.value) == expected

    async def test_an_error_of_init(self, runtime: Runtime) -> None:
        response = await runtime.client.post(f"{RUNTIME}/init/error", content=b'{"errorType": "Mine"}')
        assert response.status_code == 202
        with pytest.raises(FunctionFailed, match="Mine"):
            await runtime.api.wait_ready()
        delivery = runtime.deliver()
        with pytest.raises(FunctionFailed, match="Mine"):
            await delivery.answer
        assert refusal(await runtime.client.get(f"{RUNTIME}/invocation/next")) == (403, "InvalidStateTransition")

    async def test_the_first_failure_stays(self, runtime: Runtime) -> None:
        delivery, _ = await runtime.next()
        for reason in ("first", "second"):
            runtime.api.fail(FunctionFailed("Runtime.ExitError", reason))
        delivery.succeed(b"{}")
        with pytest.raises(FunctionFailed, match="first"):
            await delivery.answer

    async def test_a_process_that_has_ended_closes_its_connections_later(self, runtime: Runtime) -> None:
        asking = asyncio.ensure_future(runtime.client.get(f"{RUNTIME}/invocation/next"))
        await runtime.api.wait_ready()
        runtime.api.fail(FunctionFailed("Runtime.ExitError", "it exited"))
        asking.cancel()
        await asyncio.wait((asking,))
        with pytest.raises(FunctionFailed, match="it exited"):
            await runtime.api.wait_ready()

    async def test_an_answer_in_pieces(self, runtime: Runtime) -> None:
        delivery, _ = await runtime.next()
        head = b"POST /2018-06-01/runtime/invocation/the-request/response HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        got = await runtime.send(head, b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n1\r\n", b"2\r\n23\r\n0\r\n\r\n")
        assert got.startswith(b"HTTP/1.1 202 ")
        assert await delivery.answer == "123"

    async def test_a_runtime_that_waits_for_100_continue(self, runtime: Runtime) -> None:
        delivery, _ = await runtime.next()
        head = b"POST /2018-06-01/runtime/invocation/the-request/response HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        got = await runtime.send(head + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert got.startswith(b"HTTP/1.1 100 ")
        with pytest.raises(FunctionFailed, match=r"Runtime\.TruncatedResponse"):
            await delivery.answer


def test_what_never_listened_can_be_closed() -> None:
    RuntimeAPI(SETTINGS).close()


class TestRefusals:
    async def test_what_comes_out_of_turn(self, runtime: Runtime) -> None:
        assert refusal(await runtime.respond()) == (400, "InvalidRequestID")
        delivery, _ = await runtime.next()
        assert refusal(await runtime.respond(request_id="another")) == (400, "InvalidRequestID")
        assert refusal(await runtime.respond(lambda_runtime_invocation_id="x")) == (400, "InvalidInvocationId")
        assert refusal(await runtime.client.post(f"{RUNTIME}/init/error")) == (403, "InvalidStateTransition")
        assert (await runtime.respond(b"1")).status_code == 202
        assert refusal(await runtime.respond(b"2")) == (403, "InvalidStateTransition")
        assert await delivery.answer == "1"

    @pytest.mark.parametrize("content", [b"", b"{", b"NaN", b"\xff", b'{"a": Infinity}'])
    async def test_an_answer_that_is_no_json(self, runtime: Runtime, content: bytes) -> None:
        delivery, _ = await runtime.next()
        await runtime.respond(content)
        with pytest.raises(FunctionFailed, match=r"Runtime\.InvalidResponse: the answer is no JSON"):
            await delivery.answer

    async def test_an_answer_that_is_too_large(self, runtime: Runtime) -> None:
        delivery, _ = await runtime.next()
        response = await runtime.respond(b"1" * (LAMBDA_RESPONSE_LIMIT + 1))
        assert refusal(response) == (413, "RequestEntityTooLarge")
        with pytest.raises(FunctionFailed, match=r"Function\.ResponseSizeTooLarge"):
            await delivery.answer
        path = f"{RUNTIME}/invocation/the-request/error"
        assert (await runtime.client.post(path, content=b"{}")).status_code == 202

    async def test_a_mode_that_is_none(self, runtime: Runtime) -> None:
        delivery, _ = await runtime.next()
        response = await runtime.respond(lambda_runtime_function_response_mode="fast")
        assert refusal(response) == (400, "InvalidFunctionResponseMode")
        with pytest.raises(FunctionFailed, match=r"Runtime\.InvalidResponseModeHeader"):
            await delivery.answer

    async def test_addresses_and_methods(self, runtime: Runtime) -> None:
        response = await runtime.client.post(f"{RUNTIME}/invocation/next")
        assert (response.status_code, response.headers["allow"]) == (405, "GET")
        assert (await runtime.client.get("/other")).status_code == 404

    @pytest.mark.parametrize(
        "headers",
        [
            {"host": "evil.example"},
            {"host": "10.0.0.1"},
            {"origin": "http://127.0.0.1"},
            {"sec-fetch-site": "cross-site"},
        ],
        ids=str,
    )
    @pytest.mark.parametrize("mode", ["buffered", "streaming"])
    async def test_web_pages_are_refused(self, runtime: Runtime, headers: dict[str, str], mode: str) -> None:
        delivery, _ = await runtime.next()
        response = await runtime.respond(b'"false"', **headers, lambda_runtime_function_response_mode=mode)
        assert refusal(response) == (403, "Forbidden")
        assert (await runtime.client.get(f"{RUNTIME}/invocation/next", headers=headers)).status_code == 403
        assert not delivery.answer.done()

    @pytest.mark.parametrize(
        ("line", "fields"),
        [
            (f"POST {RUNTIME}/invocation/the-request/response", "Host: evil.example"),
            (f"POST {RUNTIME}/invocation/the-request/response", "Host: 127.0.0.1\r\nOrigin: http://evil.example"),
            (f"POST {RUNTIME}/invocation/another/response", "Host: 127.0.0.1"),
            (f"PUT {RUNTIME}/invocation/the-request/response", "Host: 127.0.0.1"),
            ("POST /response", "Host: 127.0.0.1"),
        ],
    )
    @pytest.mark.parametrize("mode", ["buffered", "streaming"])
    async def test_half_of_a_request_that_is_no_answer(
        self, runtime: Runtime, line: str, fields: str, mode: str
    ) -> None:
        delivery, _ = await runtime.next()
        head = f"{line} HTTP/1.1\r\n{fields}\r\nLambda-Runtime-Function-Response-Mode: {mode}\r\nContent-Length: 9"
        await runtime.send(f"{head}\r\n\r\nabc".encode())
        assert not delivery.answer.done()
        assert (await runtime.respond(b'"fine"')).status_code == 202
        assert await delivery.answer == '"fine"'

    @pytest.mark.parametrize("content", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\n"])
    async def test_what_is_no_http(self, runtime: Runtime, content: bytes) -> None:
        got = await runtime.send(content)
        assert got.startswith(b"HTTP/1.1 400 ")
        assert b"InvalidRequest" in got

    async def test_a_connection_that_says_nothing(self, runtime: Runtime) -> None:
        assert await runtime.send() == b""

    async def test_it_is_closed_as_asked(self, runtime: Runtime) -> None:
        got = await runtime.send(b"GET /other HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        assert got.count(b"HTTP/1.1 404 ") == 1

    async def test_several_requests_at_once(self, runtime: Runtime) -> None:
        got = await runtime.send(b"GET /other HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 3)
        assert got.count(b"HTTP/1.1 404 ") == 3

    async def test_an_end_within_another_request(self, runtime: Runtime) -> None:
        delivery, _ = await runtime.next()
        await runtime.send(b"POST /other HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\n\r\n1")
        assert not delivery.answer.done()


class TestExtensions:
    """Those that run inside the runtime's process."""

    async def register(self, runtime: Runtime, name: str, content: Any = None) -> httpx.Response:
        content = {"events": []} if content is None else content
        headers = {"Lambda-Extension-Name": name} if name else {}
        return await runtime.client.post(
            f"{EXTENSION}/register",
            content=content if isinstance(content, bytes) else json.dumps(content),
            headers=headers,
        )

    async def test_one_without_events(self, runtime: Runtime) -> None:
        response = await self.register(runtime, "own")
        assert response.json() == {
            "functionName": "mangum-dev",
            "functionVersion": "$LATEST",
            "handler": "app.handler",
        }
        headers = {"Lambda-Extension-Identifier": response.headers["lambda-extension-identifier"]}
        waiting = asyncio.ensure_future(runtime.client.get(f"{EXTENSION}/event/next", headers=headers))
        await runtime.next()
        await runtime.respond()
        assert not waiting.done()
        waiting.cancel()
        await asyncio.wait((waiting,))

    async def test_one_with_events(self, runtime: Runtime) -> None:
        response = await self.register(runtime, "own", {"events": ["INVOKE"]})
        headers = {"Lambda-Extension-Identifier": response.headers["lambda-extension-identifier"]}
        for _ in range(2):
            delivery, _ = await runtime.next()
            await runtime.respond()
        for _ in range(2):
            event = (await runtime.client.get(f"{EXTENSION}/event/next", headers=headers)).json()
        assert (event["eventType"], event["requestId"]) == ("INVOKE", "the-request")
        assert (event["deadlineMs"], event["tracing"]["value"]) == (delivery.deadline_ms, delivery.trace_id)

    @pytest.mark.parametrize(
        ("name", "content", "error_type"),
        [
            ("", None, "Extension.InvalidExtensionName"),
            ("own", {"events": ["SHUTDOWN"]}, "Extension.InvalidEventType"),
            ("own", b"nonsense", "InvalidRequestFormat"),
            ("own", [], "InvalidRequestFormat"),
            ("first", None, "Extension.InvalidExtensionState"),
        ],
    )
    async def test_what_cannot_be_registered(self, runtime: Runtime, name: str, content: Any, error_type: str) -> None:
        assert (await self.register(runtime, "first")).status_code == 200
        assert refusal(await self.register(runtime, name, content)) == (403, error_type)

    async def test_too_many_and_too_late(self, runtime: Runtime) -> None:
        for number in range(10):
            assert (await self.register(runtime, str(number))).status_code == 200
        assert refusal(await self.register(runtime, "one more")) == (403, "Extension.TooManyExtensions")
        await runtime.next()
        assert refusal(await self.register(runtime, "late")) == (403, "Extension.RegistrationClosed")

    @pytest.mark.parametrize(
        ("identifier", "error_type"),
        [("", "Extension.MissingExtensionIdentifier"), ("x", "Extension.UnknownExtensionIdentifier")],
    )
    async def test_who_is_not_registered(self, runtime: Runtime, identifier: str, error_type: str) -> None:
        headers = {"Lambda-Extension-Identifier": identifier}
        response = await runtime.client.get(f"{EXTENSION}/event/next", headers=headers)
        assert refusal(response) == (403, error_type)


_MODE = "Lambda-Runtime-Function-Response-Mode"


class TestStreams:
    """As they are sent by `mangum.runtime`, and as others might."""

    PATH = f"{RUNTIME}/invocation/the-request/response"

    async def stream(self, runtime: Runtime, *parts: bytes, **headers: str) -> httpx.Response:
        async def content() -> AsyncIterator[bytes]:
            for part in parts:
                yield part

        return await runtime.client.post(self.PATH, content=content(), headers={_MODE: "streaming", **headers})

    async def test_a_stream(self, runtime: Runtime) -> None:
        delivery, _ = await runtime.next()
        async with asyncio.TaskGroup() as tasks:
            sending = tasks.create_task(
                self.stream(runtime, b'{"statusCode"', b": 201}" + bytes(4), bytes(4) + b"a", b"", b"bc")
            )
            answer = await delivery.answer
            assert isinstance(answer, StreamedAnswer)
            assert answer.prelude == {"statusCode": 201}
            assert b"".join([chunk async for chunk in answer.chunks()]) == b"abc"
        assert sending.result().status_code == 202
        assert json.loads(answer.summary()) == {"statusCode": 201, "body": "(3 bytes, streamed)"}
        answer.hang_up()  # which is none any more
        assert (await runtime.next())[1].status_code == 200

    @pytest.mark.parametrize(
        ("parts", "message"),
        [
            ([b"x" * 20_000], "the stream is malformed: there is no prelude in its first 16 KB"),
            ([b"[]" + bytes(8)], "the stream is malformed: its prelude is no object"),
            ([b"{" + bytes(8)], "the stream is malformed: "),
            ([b"{}"], "the stream has no prelude"),
        ],
    )
    async def test_what_is_no_stream(self, runtime: Runtime, parts: list[bytes], message: str) -> None:
        delivery, _ = await runtime.next()
        with contextlib.suppress(httpx.TransportError):
            await self.stream(runtime, *parts)
        with pytest.raises(FunctionFailed, match=message):
            await delivery.answer

    async def test_one_whose_event_is_over(self, runtime: Runtime) -> None:
        delivery, _ = await runtime.next()
        delivery.fail(FunctionFailed("Sandbox.Timedout", "it took too long"))
        assert (await self.stream(runtime, b"{}" + bytes(8))).status_code == 202

    async def test_one_that_is_refused(self, runtime: Runtime) -> None:
        await runtime.next()
        assert (await runtime.respond()).status_code == 202
        assert refusal(await self.stream(runtime, b"{}" + bytes(8))) == (403, "InvalidStateTransition")

    @pytest.mark.parametrize(
        ("trailers", "failure"),
        [
            (b"Lambda-Runtime-Function-Error-Type: A.B\r\nLambda-Runtime-Function-Error-Body: eyJl\r\n", "A.B"),
            (b"Lambda-Runtime-Function-Error-Body: W10=\r\n", "Runtime.Unknown"),
            (
                b"Lambda-Runtime-Function-Error-Body: eyJlcnJvclR5cGUiOiAiQSIsICJlcnJvck1lc3NhZ2UiOiAiYiJ9\r\n",
                "A: b",
            ),
        ],
    )
    async def test_its_trailers(self, runtime: Runtime, trailers: bytes, failure: str) -> None:
        delivery, _ = await runtime.next()
        head = f"POST {self.PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n".encode()
        mode = b"Lambda-Runtime-Function-Response-Mode: streaming\r\n\r\n"
        got = await runtime.send(head + mode, b"a\r\n{}" + bytes(8) + b"\r\n", b"0\r\n" + trailers + b"\r\n")
        assert got.startswith(b"HTTP/1.1 202 ")
        answer = await delivery.answer
        assert isinstance(answer, StreamedAnswer)
        with pytest.raises(StreamBroken, match=f"^{failure}$"):
            [chunk async for chunk in answer.chunks()]

    async def test_one_that_breaks_off(self, runtime: Runtime) -> None:
        delivery, _ = await runtime.next()
        head = f"POST {self.PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n".encode()
        mode = b"Lambda-Runtime-Function-Response-Mode: streaming\r\n\r\n"
        await runtime.send(head + mode, b"a\r\n{}" + bytes(8) + b"\r\n", b"5\r\nab")
        answer = await delivery.answer
        assert isinstance(answer, StreamedAnswer)
        with pytest.raises(StreamBroken, match=r"Runtime\.TruncatedResponse"):
            [chunk async for chunk in answer.chunks()]
        answer.break_off("twice")

    async def test_a_reader_that_is_slow(self, runtime: Runtime) -> None:
        """The runtime has to wait, and the memory stays as it is."""
        delivery, _ = await runtime.next()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.stream(runtime, b"{}" + bytes(8), *[bytes(65536)] * 400))
            answer = await delivery.answer
            assert isinstance(answer, StreamedAnswer)
            size, same = 0, 0
            while size < 200_000 or same < 20:
                await asyncio.sleep(0.001)
                size, same = answer.size, same + 1 if answer.size == size else 0
            assert size < 2_000_000
            chunks = [chunk async for chunk in answer.chunks()]
        assert sum(map(len, chunks)) == 400 * 65536
