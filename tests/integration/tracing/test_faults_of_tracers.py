"""A fault of a tracer, a sampler or a span processor costs neither an event nor a call."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import StatusCode
from support import PATIENCE, eventually
from support.spans import Exported

from fraiseql_subs import (
    Call,
    Event,
    Identity,
    Security,
    SubscriptionManager,
    Tracing,
    subscription,
)
from fraiseql_subs._faults import faults
from fraiseql_subs.tracing import PublisherTracing


def broken(*_arguments: Any, **_options: Any) -> Any:
    raise RuntimeError("the tracer broke")


class Broken:
    """Raises where one of its methods is called, and else does nothing."""

    def __init__(self, *methods: str) -> None:
        for method in methods:
            setattr(self, method, broken)

    def start_span(self, *_arguments: Any, **_options: Any) -> Any:
        return Broken("get_span_context", "set_attribute", "set_status", "end")

    def get_tracer(self, *_arguments: Any, **_options: Any) -> Any:
        return Broken("start_span")


class SpansThatBreak(Broken):
    """A provider whose spans raise."""

    def get_tracer(self, *_arguments: Any, **_options: Any) -> Any:
        return Broken()


class Processor(SpanProcessor):
    """Raises when a span begins, or when it ends."""

    def __init__(self, method: str) -> None:
        setattr(self, method, broken)


def processed(method: str) -> TracerProvider:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(Processor(method))
    return provider


class Sampler:
    """A sampler that raises."""

    should_sample = staticmethod(broken)
    get_description = ALWAYS_ON.get_description


PROVIDERS: dict[str, Any] = {
    "provider": lambda: Broken("get_tracer"),
    "tracer": Broken,
    "spans": SpansThatBreak,
    "sampler": lambda: TracerProvider(sampler=Sampler(), shutdown_on_exit=False),  # type: ignore[arg-type]
    "begin": lambda: processed("on_start"),
    "end": lambda: processed("on_end"),
}


def reported(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if "a span is missing" in record.getMessage()]


@pytest.fixture(params=PROVIDERS)
def tracing(request: pytest.FixtureRequest) -> Tracing:
    # What another test has reported would only be counted.
    faults.flush()
    return Tracing(tracer_provider=PROVIDERS[request.param](), sample_deliveries=1)


async def test_clients_receive_all(tracing: Tracing, serve, connect, caplog):
    async def identify(params: Any) -> Identity:
        await asyncio.sleep(0)
        return Identity("ann")

    async def first() -> int:
        await asyncio.sleep(0)
        return 0

    @subscription(channel="values", initial=first)
    async def later(event: Event) -> int:
        await asyncio.sleep(0)
        return int(event.data)

    @subscription(channel="values", initial=first)
    def at_once(event: Event) -> int:
        return int(event.data)

    @subscription(channel="values", batch=True, initial=first)
    async def batched(calls: list[Call]) -> list[int]:
        return [int(call.event.data) for call in calls]

    @subscription
    async def count() -> AsyncIterator[int]:
        yield 1

    security = Security(authenticate=identify)
    resolvers = [later, at_once, batched, count]
    with caplog.at_level(logging.ERROR, "fraiseql_subs"):
        manager = SubscriptionManager(resolvers, security=security, tracing=tracing)
        server = await serve(manager)
        fields = ("later", "atOnce", "batched", "count")
        clients = {field: await connect(server.url) for field in fields}
        ids = {
            field: await client.subscribe(f"subscription {{ {field} }}")
            for field, client in clients.items()
        }
        assert await clients.pop("count").receive_data(ids["count"]) == {"count": 1}
        for field, client in clients.items():
            assert await client.receive_data(ids[field]) == {field: 0}
        for number in (1, 2):
            await manager.publish("values", number)
            for field, client in clients.items():
                assert await client.receive_data(ids[field]) == {field: number}
        await eventually(lambda: bool(reported(caplog)), "it is reported")


async def test_a_resolver_that_raises_is_told_as_such(tracing: Tracing):
    @subscription(channel="values")
    async def value(event: Event) -> int:
        raise ValueError("broken")

    manager = SubscriptionManager([value], tracing=tracing)
    async with manager, manager.subscribe("subscription { value }") as results:
        await manager.publish("values", 1)
        assert (await asyncio.wait_for(anext(results), PATIENCE)).errors


def test_a_publisher_goes_on(tracing: Tracing, caplog):
    publisher = PublisherTracing(tracing)
    with caplog.at_level(logging.ERROR, "fraiseql_subs"):
        for _ in range(2):
            with publisher.publishing("values") as span:
                assert span.context is None or len(span.context) == 4
        with pytest.raises(ValueError, match="mine"), publisher.publishing_many([]):
            raise ValueError("mine")


async def test_an_exception_without_a_text_is_recorded():
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    @subscription(channel="values")
    async def value(event: Event) -> int:
        raise Mute

    spans = Exported()
    manager = SubscriptionManager([value], tracing=spans.tracing)
    async with manager, manager.subscribe("subscription { value }") as results:
        await manager.publish("values", 1)
        assert (await asyncio.wait_for(anext(results), PATIENCE)).errors
    assert spans.one("resolve value").status.status_code is StatusCode.ERROR
