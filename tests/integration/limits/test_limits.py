"""Every limit: a client past it receives an error, and other clients continue."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support import PATIENCE
from support.raw_http import handshake
from websockets.exceptions import InvalidStatus

from fraiseql_subs import Limits, SubscriptionManager, passthrough

pytestmark = pytest.mark.attack

SDL = "type Subscription { node: Node wide: Node } type Node { id: Int node: Node text: String }"
QUERY = "subscription { node { id } }"

node = passthrough("node", dict, channel="nodes")
wide = passthrough("wide", dict, channel="wide")


@pytest.fixture
async def start(serve, connect):
    """Serve with limits, and connect another client that must go on receiving."""

    async def begin(**limits: Any):
        manager = SubscriptionManager([node, wide], schema=SDL, limits=Limits(**limits))
        server = await serve(manager)
        neighbour = await connect(server.url)
        id = await neighbour.subscribe(QUERY)

        async def goes_on() -> None:
            await manager.publish("nodes", {"id": 7})
            assert await neighbour.receive_data(id) == {"node": {"id": 7}}

        await goes_on()
        return manager, server, goes_on

    return begin


async def test_connection_init_timeout(start, connect):
    _, server, goes_on = await start(connection_init_timeout=2.0)
    client = await connect(server.url, init=False)
    await client.expect_close(4408, "Connection initialisation timeout")
    await goes_on()


async def test_max_connections(start, connect):
    _, server, goes_on = await start(max_connections=2)
    second = await connect(server.url)
    with pytest.raises(InvalidStatus) as refused:
        await connect(server.url)
    assert refused.value.response.status_code == 503
    assert "too many connections" in refused.value.response.body.decode()
    await goes_on()
    await second.settle()


async def test_max_subscriptions_per_connection(start, connect):
    _, server, goes_on = await start(max_subscriptions_per_connection=2)
    client = await connect(server.url)
    first = await client.subscribe(QUERY)
    await client.subscribe(QUERY)
    (error,) = await client.receive_errors(await client.subscribe(QUERY))
    assert "2 operations already" in error["message"]
    await goes_on()
    await client.receive_data(), await client.receive_data()
    await client.complete(first)
    await client.subscribe(QUERY)
    assert not client.has_received


async def test_max_message_bytes(start, connect):
    _, server, goes_on = await start(max_message_bytes=500)
    client = await connect(server.url)
    await client.send({"type": "ping", "payload": {"padding": "x" * 500}})
    await client.expect_close(1009, "Messages may have at most 500 bytes")
    await goes_on()


@pytest.mark.parametrize(
    ("limit", "query"),
    [
        ({"max_depth": 3}, "subscription { node { node { node { id } } } }"),
        ({"max_complexity": 3}, "subscription { node { id text node { id } } }"),
        ({"max_aliases": 2}, "subscription { node { a: id b: id c: id } }"),
        ({"max_directives": 1}, "subscription { node { id @skip(if: false) @include(if: true) } }"),
        ({"max_tokens": 9}, "subscription { node { id text node { id } } }"),
    ],
)
async def test_limits_of_documents(limit, query, start, connect):
    _, server, goes_on = await start(**limit)
    client = await connect(server.url)
    errors = await client.receive_errors(await client.subscribe(query))
    assert errors[0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
    assert str(next(iter(limit.values()))) in errors[0]["message"]
    await goes_on()
    await client.subscribe(QUERY)
    assert not client.has_received


async def stall(manager: SubscriptionManager, server: Any, connect: Any) -> Any:
    """Connect a client that reads nothing, and publish until its results no longer fit."""
    client = await connect(server.url, max_queue=1, compression=None)
    await client.subscribe("subscription { wide { text } }")
    for _ in range(100_000):
        before = manager.metrics()
        await manager.publish_many(("wide", {"text": "x" * 20_000}) for _ in range(50))
        after = manager.metrics()
        if after.slow_consumer_disconnects or after.results_dropped > before.results_dropped:
            return client
    raise AssertionError("nothing was dropped")


async def test_max_pending_bytes_ends_a_slow_consumer(start, connect):
    manager, server, goes_on = await start(max_pending_bytes=100_000)
    await stall(manager, server, connect)
    assert manager.metrics().slow_consumer_disconnects == 1
    await goes_on()


@pytest.mark.parametrize("policy", ["drop_oldest", "latest"])
async def test_slow_consumer_may_lose_results_instead(policy, start, connect):
    manager, server, goes_on = await start(max_pending_bytes=100_000, slow_consumer=policy)
    client = await stall(manager, server, connect)
    metrics = manager.metrics()
    assert metrics.slow_consumer_disconnects == 0 and metrics.results_dropped > 0
    assert "text" in (await client.receive_data())["wide"]
    await goes_on()


async def test_keepalive_ends_a_client_that_is_silent(start):
    manager, server, goes_on = await start(keepalive=1.0)
    reader, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(handshake())
    # It answers no ping, so the server closes the socket, and the stream ends.
    await asyncio.wait_for(reader.read(), PATIENCE)
    writer.close()
    await goes_on()
    assert manager.metrics().connections == 1


async def test_a_worker_serves_events_while_it_describes_a_large_schema(serve, connect):
    fields = " ".join(f"f{n}(a: Int, b: [String!]): [T{n}!]" for n in range(20))
    types = " ".join(f"type T{n} {{ {fields} }}" for n in range(150))
    sdl = f"type Subscription {{ ticks: Int }} {types}"
    manager = SubscriptionManager([passthrough("ticks", channel="ticks")], schema=sdl, workers=1)
    server = await serve(manager)
    subscriber, curious = await connect(server.url), await connect(server.url)
    await subscriber.subscribe("subscription { ticks }")
    fields = "fields { name args { name type { name ofType { name } } } type { name } }"
    query = f"{{ __schema {{ types {{ name {fields} }} }} }}"
    await curious.send({"id": "1", "type": "subscribe", "payload": {"query": query}})
    described = asyncio.ensure_future(curious.receive_data("1"))
    await manager.publish("ticks", 1)
    assert await subscriber.receive_data() == {"ticks": 1}
    # If the worker ran it itself, this result would come first.
    assert not described.done()
    assert len((await described)["__schema"]["types"]) > 150
