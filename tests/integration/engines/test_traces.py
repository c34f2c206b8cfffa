"""A trace goes on in other processes: the event carries its context over every engine."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from declared import node
from nodes import PATHS, take
from open_transactions import ASYNC_KINDS, KINDS, asyncpg_connection
from opentelemetry.trace import StatusCode
from support import PATIENCE, eventually
from support.nats_server import NatsServer
from support.postgres_server import PostgresServer
from support.programs import finish, start_command
from support.redis_server import RedisServer
from support.spans import Exported, is_child, traceparent

from fraiseql_subs import (
    Event,
    Publisher,
    PublishError,
    SubscriptionManager,
    SyncPublisher,
    subscription,
)

PROGRAM = """
import asyncio, os, sys
sys.path[:0] = sys.argv[2].split(os.pathsep)
from support.spans import Exported, traceparent
from declared import node

async def main(url):
    spans = Exported()
    async with node(url, tracing=spans.tracing) as manager:
        with spans.tracer.start_as_current_span("request"):
            await manager.publish("values", 1)
    print(traceparent(spans.one("publish")))

asyncio.run(main(sys.argv[1]))
"""


@pytest.fixture
def spans() -> Exported:
    return Exported()


@pytest.fixture(params=["redis", "nats", "nats without history", "postgres", "outbox"])
async def bus(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """The URL of each engine."""
    kind = request.param
    if kind == "redis":
        async with RedisServer(tmp_path) as server:
            yield server.url
    elif kind.startswith("nats"):
        async with NatsServer(tmp_path) as server:
            yield server.url + ("?history=off" if kind.endswith("history") else "")
    elif kind == "postgres":
        async with PostgresServer() as server:
            server.install()
            yield server.url
    else:
        async with PostgresServer(wal_level="replica") as server:
            server.install(outbox=True)
            yield f"{server.url}?outbox=true"


CALL = "fraiseql_subs.publish('values', '{}')"

seen: list[Any] = []


@subscription(channel="values")
async def value(event: Event) -> int:
    seen.append((event.traceparent, event.tracestate))
    return int(event.data)


def manager_of(bus: str, spans: Exported) -> SubscriptionManager:
    seen.clear()
    return SubscriptionManager([value], bus=bus, tracing=spans.tracing, workers=1)


async def result(results: Any) -> Any:
    return (await asyncio.wait_for(anext(results), PATIENCE)).data


async def test_a_resolver_of_another_node_is_a_child_of_the_publisher(bus: str, spans: Exported):
    other = Exported()
    publishing, receiving = manager_of(bus, spans), manager_of(bus, other)
    async with publishing, receiving, receiving.subscribe("subscription { value }") as results:
        with spans.tracer.start_as_current_span("request"):
            await publishing.publish("values", 1)
            await publishing.publish_many([("values", 2)])
        for number in (1, 2):
            assert await result(results) == {"value": number}
    published, resolved = spans.all("publish values"), other.all("resolve value")
    assert len(published) == len(resolved) == 2
    for parent, child in zip(published, resolved, strict=True):
        assert is_child(parent, spans.one("request")) and is_child(child, parent)


async def test_a_process_that_publishes_is_the_parent(redis: RedisServer, spans: Exported):
    receiving = manager_of(redis.url, spans)
    async with receiving, receiving.subscribe("subscription { value }") as results:
        program = await start_command(sys.executable, "-c", PROGRAM, redis.url, PATHS)
        code, out, err = await finish(program)
        assert code == 0, err
        assert await result(results) == {"value": 1}
    assert seen == [(out.strip(), None)]
    parent = spans.one("resolve value").parent
    assert parent is not None and parent.is_remote
    assert f"{parent.trace_id:032x}-{parent.span_id:016x}" in out


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_publishers_carry_their_span(redis: RedisServer, spans: Exported, kind):
    receiving = manager_of(redis.url, Exported())
    async with receiving, receiving.subscribe("subscription { value }") as results:
        with spans.tracer.start_as_current_span("request"):
            if kind == "async":
                async with Publisher(redis.url, tracing=spans.tracing) as publisher:
                    receipt = await publisher.publish("values", 1)
                    await publisher.publish_many([("values", 2), ("values", 3)])
            else:
                with SyncPublisher(redis.url, tracing=spans.tracing) as sync:
                    receipt = sync.publish("values", 1)
                    sync.publish_many([("values", 2), ("values", 3)])
        for number in (1, 2, 3):
            assert await result(results) == {"value": number}
    one, many = spans.all("publish")
    assert one.attributes is not None and many.attributes is not None
    assert one.attributes["messaging.message.id"] == receipt.event_id
    assert one.attributes["messaging.destination.name"] == "values"
    assert many.attributes["messaging.batch.message_count"] == 2
    assert all(is_child(span, spans.one("request")) for span in (one, many))
    assert [told for told, _ in seen] == [traceparent(span) for span in (one, many, many)]


@pytest.mark.parametrize("kind", ASYNC_KINDS, ids=lambda kind: kind.__name__)
async def test_an_event_of_a_transaction_has_a_trace(kind, postgres, spans: Exported):
    receiving, publishing = manager_of(postgres.url, Exported()), node(postgres.url)
    traced = node(postgres.url, tracing=spans.tracing)
    async with receiving, publishing, traced:
        async with receiving.subscribe("subscription { value }") as results:
            async with kind(postgres.url) as opened:
                await publishing.publish("values", 1, connection=opened.connection)
                with spans.tracer.start_as_current_span("request"):
                    await traced.publish("values", 2, connection=opened.connection)
                    async with Publisher(postgres.url, tracing=spans.tracing) as publisher:
                        await publisher.publish("values", 3, connection=opened.connection)
                await opened.commit()
            for number in (1, 2, 3):
                assert await result(results) == {"value": number}
    assert seen == [(None, None), *((traceparent(each), None) for each in spans.all("publish"))]
    assert all(is_child(span, spans.one("request")) for span in spans.all("publish"))


SHOW = "select current_setting('fraiseql_subs.traceparent', true)"
OWN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize("own", [OWN, ""], ids=["set", "unset"])
async def test_a_trace_ends_with_its_event(own, postgres, spans: Exported):
    receiving, publishing = manager_of(postgres.url, Exported()), node(postgres.url)
    traced = node(postgres.url, tracing=spans.tracing)
    async with receiving, publishing, traced:
        async with receiving.subscribe("subscription { value }") as results:
            async with asyncpg_connection(postgres.url) as opened:
                if own:
                    await opened.connection.execute(
                        f"SET LOCAL fraiseql_subs.traceparent = '{own}'"
                    )
                for number in (1, 2):
                    await traced.publish("values", number, connection=opened.connection)
                    assert (await opened.connection.fetchval(SHOW) or "") == own
                await publishing.publish("values", 3, connection=opened.connection)
                await opened.commit()
            for number in (1, 2, 3):
                assert await result(results) == {"value": number}
    mine = [traceparent(span) for span in spans.all("publish")]
    assert [told for told, _ in seen] == [*mine, own or None]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
async def test_a_transaction_that_blocks_has_a_trace(kind, outbox, spans: Exported):
    url = f"{outbox.url_of('subs')}?outbox=true"
    receiving = manager_of(url, Exported())

    def publish() -> None:
        with (
            kind(outbox.url_of("app")) as opened,
            SyncPublisher(url, tracing=spans.tracing) as sync,
        ):
            sync.publish_json("values", "1", connection=opened.connection)
            opened.commit()

    async with receiving, receiving.subscribe("subscription { value }") as results:
        await asyncio.to_thread(publish)
        assert await result(results) == {"value": 1}
    assert seen == [(traceparent(spans.one("publish")), None)]


async def test_sql_may_name_a_span(postgres, spans: Exported):
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    receiving = manager_of(postgres.url, spans)
    async with receiving, receiving.subscribe("subscription { value }") as results:
        for number, text in enumerate([parent, "00-nonsense-01", ""]):
            setting = f"SET LOCAL fraiseql_subs.traceparent = '{text}'"
            await postgres.sql(f"BEGIN; {setting}; SELECT {CALL.format(number)}; COMMIT")
            assert await result(results) == {"value": number}
    assert seen == [(parent, None), (None, None), (None, None)]


async def test_an_event_that_is_not_published_is_an_error(redis: RedisServer, spans: Exported):
    publishing = node(redis.url, publish_timeout=0.3, tracing=spans.tracing)
    async with (
        publishing,
        Publisher(redis.url, publish_timeout=0.3, tracing=spans.tracing) as publisher,
    ):
        await redis.kill()
        await eventually(lambda: publishing.metrics().bus_is_live == 0, "the node has noticed")
        for each in (publishing, publisher):
            with pytest.raises(PublishError):
                await each.publish("feed", 1)
        await eventually(lambda: len(spans.names) == 2, "both spans have ended")
    for name in ("publish feed", "publish"):
        span = spans.one(name)
        assert span.status.status_code is StatusCode.ERROR
        assert [event.name for event in span.events] == ["exception"]


async def test_what_a_client_missed_has_its_trace(redis: RedisServer, spans: Exported):
    """What is read from the engine's history is part of the trace too."""
    receiving = manager_of(redis.url, spans)
    async with receiving:
        first = await receiving.publish("values", 1)
        await receiving.publish("values", 2)
        resume = {"resume": {"after": first.position}}
        document = "subscription { value }"
        async with receiving.subscribe(document, extensions=resume) as results:
            assert await result(results) == {"value": 2}
    assert is_child(spans.one("resolve value"), spans.all("publish values")[1])


async def test_nodes_without_tracing_take_such_events(redis: RedisServer, spans: Exported):
    publishing = manager_of(redis.url, spans)
    async with publishing, node(redis.url) as receiving:
        async with receiving.subscribe("subscription { feed }") as results:
            await publishing.publish("feed", 1)
            assert await take(results, 1) == [1]
