"""The suites, by the names that the command line knows."""

from __future__ import annotations

from benchmarks.outcomes import Suite
from benchmarks.suites.cold import run_cold
from benchmarks.suites.concurrency import run_concurrency
from benchmarks.suites.deployment import run_deployment
from benchmarks.suites.groups import run_groups
from benchmarks.suites.growth import run_memory, run_soak
from benchmarks.suites.http import run_bodies, run_lifespan, run_translate, run_warm
from benchmarks.suites.local import run_local
from benchmarks.suites.runtime import run_runtime
from benchmarks.suites.stream import run_stream
from benchmarks.suites.websocket import run_broadcast, run_websocket

__all__ = ["SUITES"]

SUITES = {
    suite.name: suite
    for suite in (
        Suite("cold", "a fresh process with no bytecode, to its first answer; and imports", run_cold),
        Suite("warm", "one warm invocation of a hello-world, by source, lifespan and way", run_warm),
        Suite("translate", "event to scope and body, response to answer, without an application", run_translate),
        Suite("lifespan", "an invocation with startup and shutdown, and with a state that grows", run_lifespan),
        Suite("bodies", "large request and response bodies, HTTP API 2.0, lifespan off", run_bodies),
        Suite("websocket", "a WebSocket message through each store, with one answer to the client", run_websocket),
        Suite("broadcast", "a message to a group, against one blocking boto3 call after another", run_broadcast),
        Suite("stream", "a response that is sent bit by bit: first byte, and throughput", run_stream),
        Suite("concurrency", "many invocations at once: time, and the memory of their processes", run_concurrency),
        Suite("runtime", "`mangum.runtime` against AWS's own: CPU time of an invocation, cold start", run_runtime),
        Suite("local", "a request to `mangum dev`, beside the same application on uvicorn", run_local),
        Suite("deployment", "the folder of `mangum build` against `pip install -t`: a cold start", run_deployment),
        Suite("memory", "what is left of many invocations, in the default mode", run_memory),
        Suite("soak", "whether the last of very many invocations take as long as the first", run_soak),
        Suite("groups", "a task group of asyncio's against anyio's", run_groups),
    )
}
