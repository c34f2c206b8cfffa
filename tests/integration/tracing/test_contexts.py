"""Whose children the spans of a client are: of its own request, or of none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from support import eventually
from support.servers import uvicorn, ws_url
from support.spans import Exported, is_child

from fraiseql_subs import Event, Identity, Security, SubscriptionManager, subscription
from fraiseql_subs.adapters.asgi import GraphQLApp


@pytest.fixture
def spans() -> Exported:
    return Exported()


def manager_of(spans: Exported) -> SubscriptionManager:
    """Make a manager whose functions each begin a span of the application."""

    async def identify(params: Any) -> Identity:
        await asyncio.sleep(0)
        with spans.tracer.start_as_current_span("look up"):
            return Identity("ann")

    async def first() -> int:
        await asyncio.sleep(0)
        with spans.tracer.start_as_current_span("query"):
            return 0

    @subscription(channel="values", initial=first)
    async def value(event: Event) -> int:
        return int(event.data)

    @subscription
    async def count() -> AsyncIterator[int]:
        yield 1

    security = Security(authenticate=identify)
    return SubscriptionManager([value, count], security=security, tracing=spans.tracing)


async def test_what_starts_a_manager_is_not_the_parent_of_its_clients(
    spans: Exported, serve, connect
):
    with spans.tracer.start_as_current_span("startup"):
        server = await serve(manager_of(spans))
    for _ in range(2):
        client = await connect(server.url)
        id = await client.subscribe("subscription { value }")
        assert await client.receive_data(id) == {"value": 0}
        id = await client.subscribe("subscription { count }")
        assert await client.receive_data(id) == {"count": 1}
    await eventually(lambda: len(spans.all("stream count")) == 2, "the streams have ended")
    for name in ("authenticate", "initial value", "stream count"):
        roots = spans.all(name)
        assert [span.parent for span in roots] == [None, None], name
    for inner, outer in (("look up", "authenticate"), ("query", "initial value")):
        for child, parent in zip(spans.all(inner), spans.all(outer), strict=True):
            assert is_child(child, parent)


async def test_requests_are_the_parents_of_what_their_clients_cause(spans: Exported, connect):
    app = GraphQLApp(manager_of(spans))
    requests = 0

    async def traced(scope: Any, receive: Any, send: Any) -> None:
        nonlocal requests
        if scope["type"] == "lifespan":
            return await app(scope, receive, send)
        requests += 1
        with spans.tracer.start_as_current_span(f"request {requests}"):
            await app(scope, receive, send)

    async with uvicorn(traced) as host:
        clients = [await connect(ws_url(host)) for _ in range(2)]
        for client in clients:
            id = await client.subscribe("subscription { value }")
            assert await client.receive_data(id) == {"value": 0}
        for client in clients:
            await client.close()
        await eventually(lambda: "request 2" in spans.names, "the requests have ended")
    for name in ("authenticate", "initial value"):
        for number, span in enumerate(spans.all(name), 1):
            assert is_child(span, spans.one(f"request {number}")), name
