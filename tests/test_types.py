"""What type checkers accept at mangum's borders: mypy and pyright check this file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, assert_type

from mangum import Mangum
from mangum.handlers import ALB, APIGateway, HTTPGateway, LambdaAtEdge
from mangum.handlers.function_url import FunctionURL
from mangum.handlers.posted_event import PostedEvent
from mangum.handlers.vpc_lattice import VPCLatticeV1, VPCLatticeV2
from mangum.types import (
    Hook,
    LambdaConfig,
    LambdaContext,
    LambdaEvent,
    LambdaHandler,
    Observation,
    Receive,
    Response,
    Scope,
    Send,
)
from tests.apps import hello


class Custom:
    """A custom handler with the annotations of `LambdaHandler`."""

    def __init__(self, event: LambdaEvent, context: LambdaContext, config: LambdaConfig) -> None:
        self.event = event

    @classmethod
    def infer(cls, event: LambdaEvent, context: LambdaContext, config: LambdaConfig) -> bool:
        return "custom" in event

    @property
    def body(self) -> bytes:
        return b""

    @property
    def scope(self) -> Scope:
        return {"type": "http", "method": "GET", "path": "/", "headers": []}

    def __call__(self, response: Response) -> dict[str, Any]:
        return {"custom": response["status"]}


class Loose(Custom):
    """One with other names and looser types."""

    def __init__(self, *arguments: Any) -> None:
        self.event = arguments[0]

    @classmethod
    def infer(cls, event: dict[str, Any], context: Any, config: Any) -> bool:
        return "loose" in event


class Extended(FunctionURL):
    """One that extends a built-in handler."""


def hook_of(log: list[int | None]) -> Hook:
    @asynccontextmanager
    async def hook(observation: Observation) -> AsyncIterator[None]:
        yield
        log.append(observation.status)

    return hook


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    await hello(scope, receive, send)


def test_custom_and_built_in_handlers_are_lambda_handlers() -> None:
    handlers: list[type[LambdaHandler]] = [Custom, Loose, Extended]
    handlers += [ALB, APIGateway, FunctionURL, HTTPGateway, LambdaAtEdge, PostedEvent, VPCLatticeV1, VPCLatticeV2]
    with Mangum(app, "off", custom_handlers=handlers) as handler:
        assert handler({"custom": 1}, None) == {"custom": 200}
        assert handler({"loose": 1}, None) == {"custom": 200}
        assert_type(handler.infer({"custom": 1}, None), LambdaHandler)
    assert_type(Mangum(app, custom_handlers=[Custom, ALB]), Mangum)


def test_a_hook_is_a_function_that_returns_a_context_manager() -> None:
    log: list[int | None] = []
    with Mangum(app, "off", custom_handlers=[Custom], hooks=[hook_of(log)]) as handler:
        handler({"custom": 1}, None)
        assert_type(handler.config.hooks, tuple[Hook, ...])
    assert log == [200]
