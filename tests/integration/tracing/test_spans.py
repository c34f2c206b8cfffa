"""Spans of publishing, resolvers and hooks, and how they are related."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import SpanKind, StatusCode, TraceFlags
from support import PATIENCE, eventually
from support.publishing import KEY, post
from support.spans import Exported, is_child, traceparent

from fraiseql_subs import (
    Call,
    ConfigurationError,
    Event,
    GraphQLError,
    Identity,
    Security,
    SubscriptionManager,
    Tracing,
    passthrough,
    subscription,
)

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"


@pytest.fixture
def spans() -> Exported:
    return Exported()


def current() -> int:
    """Return the id of the current span."""
    return trace.get_current_span().get_span_context().span_id


async def take(results: Any) -> Any:
    return await asyncio.wait_for(anext(results), PATIENCE)


async def test_what_a_resolver_calls_is_part_of_the_trace_of_the_publisher(spans: Exported):
    @subscription(channel="orders")
    async def order(event: Event) -> int:
        with spans.tracer.start_as_current_span("first"):
            await asyncio.sleep(0)
            with spans.tracer.start_as_current_span("nested"):
                await asyncio.sleep(0)
        with spans.tracer.start_as_current_span("second"):
            return int(event.data)

    manager = SubscriptionManager([order], tracing=spans.tracing)
    async with manager, manager.subscribe("subscription Mine { order }") as results:
        with spans.tracer.start_as_current_span("request"):
            receipt = await manager.publish("orders", 1)
        assert (await take(results)).data == {"order": 1}
    published, resolved = spans.one("publish orders"), spans.one("resolve order")
    assert is_child(published, spans.one("request"))
    assert is_child(resolved, published)
    assert is_child(spans.one("first"), resolved) and is_child(spans.one("second"), resolved)
    assert is_child(spans.one("nested"), spans.one("first"))
    assert (published.kind, resolved.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)
    assert published.attributes == {
        "messaging.system": "fraiseql_subs",
        "messaging.operation.name": "publish",
        "messaging.operation.type": "send",
        "messaging.destination.name": "orders",
        "messaging.message.id": receipt.event_id,
    }
    assert resolved.attributes == {
        "messaging.system": "fraiseql_subs",
        "messaging.operation.name": "resolve",
        "messaging.operation.type": "process",
        "messaging.destination.name": "orders",
        "messaging.message.id": receipt.event_id,
        "graphql.operation.type": "subscription",
        "graphql.operation.name": "Mine",
        "graphql.field.name": "order",
    }
    assert published.status.status_code is resolved.status.status_code is StatusCode.UNSET


@pytest.mark.parametrize("is_async", [True, False])
@pytest.mark.parametrize("options", [{}, {"shared": True}])
async def test_each_kind_of_resolver_runs_in_its_span(spans: Exported, is_async, options):
    seen: list[int] = []

    def value(event: Event) -> int:
        seen.append(current())
        return int(event.data)

    async def value_async(event: Event) -> int:
        return value(event)

    value_async.__name__ = "value"
    resolver = subscription(channel="values", **options)(value_async if is_async else value)
    manager = SubscriptionManager([resolver], tracing=spans.tracing)
    async with manager, manager.subscribe("subscription { value }") as results:
        await manager.publish("values", 1)
        await take(results)
    resolved = spans.one("resolve value")
    assert is_child(resolved, spans.one("publish values"))
    assert resolved.context is not None and seen == [resolved.context.span_id]


async def test_attributes_of_a_result_are_read_in_the_span(spans: Exported):
    class Order:
        @property
        def total(self) -> int:
            with spans.tracer.start_as_current_span("total"):
                return 5

    @subscription(channel="orders")
    async def order(event: Event) -> Any:
        return Order()

    schema = "type Query { a: Int } type Subscription { order: Order } type Order { total: Int }"
    manager = SubscriptionManager([order], schema=schema, tracing=spans.tracing)
    async with manager, manager.subscribe("subscription { order { total } }") as results:
        await manager.publish("orders", 1)
        assert (await take(results)).data == {"order": {"total": 5}}
    assert is_child(spans.one("total"), spans.one("resolve order"))


async def test_calls_of_one_subscription_that_wait_do_not_mix(spans: Exported):
    arrived, go_on = asyncio.Semaphore(0), asyncio.Event()
    known: contextvars.ContextVar[int] = contextvars.ContextVar("known", default=0)
    counts: list[int] = []

    @subscription(channel="values", concurrency=3)
    async def value(event: Event) -> int:
        known.set(known.get() + 1)
        with spans.tracer.start_as_current_span(f"before {event.data}"):
            arrived.release()
            await go_on.wait()
            with spans.tracer.start_as_current_span(f"after {event.data}"):
                counts.append(known.get())
        return int(event.data)

    manager = SubscriptionManager([value], tracing=spans.tracing)
    async with manager, manager.subscribe("subscription { value }") as results:
        for number in range(3):
            await manager.publish("values", number, event_id=f"e{number}")
        for _ in range(3):
            await asyncio.wait_for(arrived.acquire(), PATIENCE)
        go_on.set()
        for _ in range(3):
            await take(results)
    resolved = {
        span.attributes["messaging.message.id"]: span
        for span in spans.all("resolve value")
        if span.attributes is not None
    }
    for number in range(3):
        before = spans.one(f"before {number}")
        assert is_child(before, resolved[f"e{number}"])
        assert is_child(spans.one(f"after {number}"), before)
    # Context variables of a subscription are still those of all its calls.
    assert counts == [3, 3, 3]


async def test_a_batch_is_a_child_of_one_event_and_linked_to_several(spans: Exported):
    seen: list[int] = []
    go_on = asyncio.Event()

    @subscription(channel="values", batch=True)
    async def value(calls: list[Call]) -> list[int]:
        seen.append(current())
        await go_on.wait()
        return [int(call.event.data) for call in calls]

    manager = SubscriptionManager([value], tracing=spans.tracing)
    async with (
        manager,
        manager.subscribe("subscription { value }") as first,
        manager.subscribe("subscription { value }") as second,
    ):
        await manager.publish("values", 1)
        await eventually(lambda: bool(seen), "the first batch runs")
        go_on.set()
        for results in (first, second):
            assert (await take(results)).data == {"value": 1}
        await eventually(lambda: len(spans.all("resolve value")) == len(seen), "they have ended")
        for span in spans.all("resolve value"):
            assert is_child(span, spans.one("publish values")) and len(span.links) == 1


async def test_a_batch_of_several_events_is_linked_to_them(spans: Exported):
    one, other = b"\1" * 16, b"\2" * 16
    from fraiseql_subs._spans import Spans

    maker = Spans(spans.provider, frozenset(), 0.0)
    call = maker.batch("value", 3, [(one, b"\1" * 8, 1, None), (other, b"\2" * 8, 1, "a=b"), None])
    call.run(lambda: None)
    call.end()
    span = spans.one("resolve value")
    assert [link.context.trace_id.to_bytes(16, "big") for link in span.links] == [one, other]
    assert span.links[1].context.trace_state.to_header() == "a=b"
    assert span.parent is None


@pytest.mark.parametrize("kind", ["async", "sync", "generator"])
async def test_initial_values_run_in_a_span(spans: Exported, kind):
    def value() -> int:
        with spans.tracer.start_as_current_span("query"):
            return 7

    async def value_async() -> int:
        await asyncio.sleep(0)
        return value()

    async def values() -> AsyncIterator[int]:
        yield value()

    initial = {"async": value_async, "sync": value, "generator": values}[kind]

    @subscription(channel="values", initial=initial)
    async def number(event: Event) -> int:
        return 0

    manager = SubscriptionManager([number], tracing=spans.tracing)
    async with manager:
        with spans.tracer.start_as_current_span("page"):
            results = manager.subscribe("subscription { number }")
        async with results:
            assert (await take(results)).data == {"number": 7}
    assert is_child(spans.one("query"), spans.one("initial number"))
    # In process, the context of the subscriber is that of its calls.
    assert is_child(spans.one("initial number"), spans.one("page"))
    assert spans.one("initial number").kind is SpanKind.INTERNAL


async def test_a_source_stream_runs_in_a_span_until_it_ends(spans: Exported):
    @subscription()
    async def count() -> AsyncIterator[int]:
        try:
            for number in range(2):
                await asyncio.sleep(0)
                with spans.tracer.start_as_current_span(f"row {number}"):
                    yield number
        finally:
            with spans.tracer.start_as_current_span("closing"):
                pass

    manager = SubscriptionManager([count], tracing=spans.tracing)
    async with manager, manager.subscribe("subscription { count }") as results:
        assert [result.data async for result in results] == [{"count": 0}, {"count": 1}]
    await eventually(lambda: "stream count" in spans.names, "the stream has ended")
    for name in ("row 0", "row 1", "closing"):
        assert is_child(spans.one(name), spans.one("stream count"))


async def test_operations_of_a_given_schema_run_in_a_span(spans: Exported):
    import strawberry

    @strawberry.type
    class Query:
        @strawberry.field
        async def value(self) -> int:
            with spans.tracer.start_as_current_span("load"):
                return 1

    schema = strawberry.Schema(Query)
    manager = SubscriptionManager(schema=schema, tracing=spans.tracing)
    async with manager.serve(port=0, drain=0.0) as server:
        async with httpx.AsyncClient(timeout=PATIENCE) as client:
            for name in ("Mine", "Other"):
                documents = "query Mine { value } query Other { value }"
                request = {"query": documents, "operationName": name}
                response = await client.post(server.url.replace("ws:", "http:"), json=request)
                assert response.json() == {"data": {"value": 1}}
        await eventually(lambda: len(spans.all("query")) == 2, "the operations have ended")
    for value, execute in zip(spans.all("load"), spans.all("execute"), strict=True):
        assert is_child(value, execute)
    # What is executed, and what its client has waited for.
    for kind in ("execute", "query"):
        operations = [dict(span.attributes or {}) for span in spans.all(kind)]
        assert [each["graphql.operation.type"] for each in operations] == ["query", "query"]
        assert [each["graphql.operation.name"] for each in operations] == ["Mine", "Other"]


async def test_operations_of_a_given_schema_have_their_type(spans: Exported, serve, connect):
    import ariadne

    mutation, changes = ariadne.MutationType(), ariadne.SubscriptionType()
    mutation.set_field("change", lambda *_: 2)

    @changes.source("changes")
    async def generate(*_: Any) -> AsyncIterator[int]:
        yield 3

    changes.set_field("changes", lambda value, _: value)
    sdl = """
        type Query { a: Int } type Mutation { change: Int } type Subscription { changes: Int }
    """
    schema = ariadne.make_executable_schema(sdl, mutation, changes)
    server = await serve(SubscriptionManager(schema=schema, tracing=spans.tracing))
    client = await connect(server.url)
    for document in ("mutation { change }", "subscription { changes }"):
        id = await client.subscribe(document)
        await client.receive_data(id)
        assert (await client.receive())["type"] == "complete"
    for kind in ("mutation", "subscription"):
        await eventually(lambda kind=kind: kind in spans.names, "the operation has ended")
        attributes = spans.one(kind).attributes or {}
        assert attributes["graphql.operation.type"] == kind
        assert "graphql.operation.name" not in attributes
    executed = [dict(span.attributes or {}) for span in spans.all("execute")]
    assert {each["graphql.operation.type"] for each in executed} == {"mutation", "subscription"}


async def test_authentication_runs_in_a_span(spans: Exported, serve, connect):
    async def identify(params: Any) -> Identity:
        await asyncio.sleep(0)
        with spans.tracer.start_as_current_span("look up"):
            return Identity("ann")

    security = Security(authenticate=identify)
    feed = passthrough("feed", int, channel="feed")
    manager = SubscriptionManager([feed], security=security, tracing=spans.tracing)
    server = await serve(manager)
    await connect(server.url, {"token": "s3cret-of-ann"})
    assert is_child(spans.one("look up"), spans.one("authenticate"))
    assert "s3cret" not in spans.text()


async def test_a_hook_that_raises_is_recorded(spans: Exported, serve, connect):
    async def identify(params: Any) -> Identity:
        await asyncio.sleep(0)
        raise LookupError("no database")

    feed = passthrough("feed", int, channel="feed")
    security = Security(authenticate=identify)
    manager = SubscriptionManager([feed], security=security, tracing=spans.tracing)
    server = await serve(manager)
    client = await connect(server.url, init=False)
    await client.send({"type": "connection_init"})
    await eventually(lambda: "authenticate" in spans.names, "the hook has ended")
    span = spans.one("authenticate")
    assert span.status.status_code is StatusCode.ERROR
    assert [event.name for event in span.events] == ["exception"]


@pytest.mark.parametrize("error", [ValueError("broken"), GraphQLError("told")])
@pytest.mark.parametrize("kind", ["async", "sync", "stream", "initial", "batch"])
async def test_an_exception_is_recorded(spans: Exported, kind, error):
    async def values() -> AsyncIterator[int]:
        await asyncio.sleep(0)
        raise error
        yield 1

    async def value_async(event: Event) -> int:
        await asyncio.sleep(0)
        raise error

    def value(event: Event) -> int:
        raise error

    async def calls(calls: list[Call]) -> list[int]:
        raise error

    async def initial() -> int:
        raise error

    if kind == "stream":
        resolver, name = subscription(name="value")(values), "stream value"
    elif kind == "batch":
        resolver, name = subscription(name="value", channel="values", batch=True)(calls), ""
    elif kind == "initial":
        options: Any = {"channel": "values", "name": "value", "initial": initial}
        resolver, name = subscription(**options)(value), "initial value"
    else:
        function = value_async if kind == "async" else value
        resolver, name = subscription(channel="values", name="value")(function), ""
    name = name or "resolve value"
    manager = SubscriptionManager([resolver], tracing=spans.tracing)
    async with manager:
        results = manager.subscribe("subscription { value }")
        async with results:
            if name == "resolve value":
                first = asyncio.ensure_future(anext(results))
                await eventually(lambda: manager.metrics().subscriptions == 1, "it subscribes")
                await manager.publish("values", 1)
                assert (await asyncio.wait_for(first, PATIENCE)).errors
            else:
                with pytest.raises(Exception):  # noqa: B017 - of two kinds
                    result = await take(results)
                    assert not result.errors
        await eventually(lambda: name in spans.names, "the call has ended")
    (span,) = spans.all(name)[:1]
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == type(error).__name__
    (recorded,) = span.events
    assert recorded.name == "exception" and recorded.attributes is not None
    assert str(error) in str(recorded.attributes["exception.message"])


async def test_the_log_has_the_trace_of_the_event(spans: Exported, caplog):
    @subscription(channel="values")
    async def value(event: Event) -> int:
        raise ValueError("broken")

    manager = SubscriptionManager([value], tracing=spans.tracing)
    with caplog.at_level(logging.ERROR, "fraiseql_subs"):
        async with manager, manager.subscribe("subscription { value }") as results:
            await manager.publish("values", 1)
            await take(results)
    (record,) = [each for each in caplog.records if each.event_name == "exception.raised"]
    published = spans.one("publish values").context
    assert published is not None and record.trace == format(published.trace_id, "032x")


async def test_an_event_tells_its_resolver_who_published_it(spans: Exported):
    seen: list[Any] = []

    @subscription(channel="values")
    async def value(event: Event) -> int:
        seen.append((event.traceparent, event.tracestate, baggage.get_baggage("user")))
        return int(event.data)

    manager = SubscriptionManager([value], tracing=spans.tracing)
    token = context.attach(baggage.set_baggage("user", "ann"))
    try:
        async with manager, manager.subscribe("subscription { value }") as results:
            await manager.publish("values", 1)
            await take(results)
    finally:
        context.detach(token)
    assert seen == [(traceparent(spans.one("publish values")), None, "ann")]
    assert Event({}).traceparent is None


async def test_a_trace_that_is_not_sampled_is_carried_and_costs_no_span():
    spans = Exported(sampler=ParentBased(ALWAYS_OFF))
    seen: list[str | None] = []

    @subscription(channel="values")
    async def value(event: Event) -> int:
        seen.append(event.traceparent)
        return int(event.data)

    manager = SubscriptionManager([value], tracing=spans.tracing)
    async with manager, manager.subscribe("subscription { value }") as results:
        await manager.publish("values", 1)
        await take(results)
    (told,) = seen
    assert told is not None and not int(told[-2:], 16) & TraceFlags.SAMPLED
    assert spans.names == []


async def test_a_batch_of_events_is_published_in_one_span(spans: Exported):
    @subscription(channel="values")
    async def value(event: Event) -> int:
        return int(event.data)

    manager = SubscriptionManager([value], tracing=spans.tracing)
    async with manager, manager.subscribe("subscription { value }") as results:
        await manager.publish_many([("values", 1), ("values", 2)])
        for _ in range(2):
            await take(results)
    published = spans.one("publish values")
    assert published.attributes is not None
    assert published.attributes["messaging.batch.message_count"] == 2
    assert all(is_child(span, published) for span in spans.all("resolve value"))


async def test_names_of_spans_have_no_arguments(spans: Exported):
    chat = passthrough("chat", int, channel="chat.{room}", arguments={"room": str})
    manager = SubscriptionManager([chat], tracing=spans.tracing)
    async with manager:
        await manager.publish("chat.kitchen", 1)
    published = spans.one("publish")
    assert published.attributes is not None
    assert published.attributes["messaging.destination.name"] == "chat.kitchen"


async def test_nothing_secret_is_in_a_span(spans: Exported):
    @subscription(channel="values")
    async def value(event: Event, *, token: str) -> int:
        return 1

    manager = SubscriptionManager([value], tracing=spans.tracing)
    document = "subscription ($token: String!) { value(token: $token) }"
    async with manager, manager.subscribe(document, {"token": "s3cret-token"}) as results:
        await manager.publish("values", {"card": "s3cret-data"})
        await take(results)
    assert len(spans.names) == 3 and "s3cret" not in spans.text()


HEADERS: list[tuple[dict[str, str], tuple[str | None, str | None]]] = [
    ({"traceparent": PARENT, "tracestate": "a=b"}, (PARENT, "a=b")),
    ({"traceparent": PARENT}, (PARENT, None)),
    ({"traceparent": "00-nonsense-01", "tracestate": "a=b"}, (None, None)),
    ({"tracestate": "a=b"}, (None, None)),
    ({}, (None, None)),
]


@pytest.mark.parametrize(("headers", "expected"), HEADERS)
@pytest.mark.parametrize("is_on", [True, False])
async def test_a_program_that_publishes_over_http_names_its_span(headers, expected, is_on):
    spans = Exported()
    seen: list[Any] = []

    @subscription(channel="values")
    async def value(event: Event) -> int:
        seen.append((event.traceparent, event.tracestate))
        return int(event.data)

    manager = SubscriptionManager([value], tracing=spans.tracing if is_on else False)
    async with (
        manager.serve(port=0, drain=0.0, publish_key=KEY) as server,
        manager.subscribe("subscription { value }") as results,
    ):
        event = {"channel": "values", "data": 1}
        response = await post(server.publish_url, event, headers=headers)
        assert response.status_code == 200
        await take(results)
    assert seen == [expected]
    if is_on:
        resolved = spans.one("resolve value")
        parent = resolved.parent
        told = None if parent is None else f"00-{parent.trace_id:032x}-{parent.span_id:016x}-01"
        assert told == expected[0]
    assert ("resolve value" in spans.names) == is_on


async def test_tracing_is_off_without_a_provider():
    provider = trace.get_tracer_provider()
    assert isinstance(provider, trace.ProxyTracerProvider)
    seen: list[str | None] = []

    @subscription(channel="values")
    async def value(event: Event) -> int:
        seen.append(event.traceparent)
        return int(event.data)

    manager = SubscriptionManager([value])
    async with manager, manager.subscribe("subscription { value }") as results:
        await manager.publish("values", 1)
        await take(results)
    assert seen == [None]


def test_settings_that_are_none_are_refused():
    feed = passthrough("feed", int, channel="feed")
    with pytest.raises(ConfigurationError, match=r"^tracing is"):
        SubscriptionManager([feed], tracing="on")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"Tracing\.tracer_provider"):
        Tracing(tracer_provider="console")  # type: ignore[arg-type]
