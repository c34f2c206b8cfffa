"""A client that reconnects to another node receives each missed event once, in order."""

from __future__ import annotations

import asyncio
import json

import pytest
from declared import feed, node
from nodes import KINDS, managers, take, two
from returning import BEGIN, after, begin, data_of, next_event, numbers, place, query, told_missed
from support.event_streams import EVENTS, opened
from support.urls import http_url

from fraiseql_subs import History, Identity, Security, SubscriptionManager, TenantIsolation

every_kind = pytest.mark.parametrize("kind", KINDS)
every_field = pytest.mark.parametrize("field", ["feed", "even", "shared"])


def expected(field: str, of: range) -> list[int]:
    return [number for number in of if field != "even" or number % 2 == 0]


@every_kind
@every_field
async def test_a_websocket_client_misses_nothing(field, kind, redis, connect):
    async with two(kind, redis.url) as (a, b):
        client = await connect(a.url)
        await begin(client, field)
        await a.publish(*[("feed", number) for number in range(10)])
        sent = expected(field, range(10))
        seen, last = await numbers(client, len(sent))
        assert seen == sent
        client.kill()
        # Both nodes publish missed and later events.
        await a.publish(*[("feed", number) for number in range(10, 20)])
        await b.publish(*[("feed", number) for number in range(20, 30)])
        client = await connect(b.url)
        await client.subscribe(query(field), extensions=after(last))
        await a.publish(*[("feed", number) for number in range(30, 40)])
        await b.publish(*[("feed", number) for number in range(40, 50)])
        sent = expected(field, range(10, 50))
        assert (await numbers(client, len(sent)))[0] == sent


@every_kind
async def test_an_event_stream_misses_nothing(kind, redis):
    async with two(kind, redis.url) as (a, b):
        async with opened(http_url(a.url), query("feed"), EVENTS) as (_, body):
            await next_event(body)
            await a.publish(("feed", 1), ("feed", 2))
            events = [await next_event(body) for _ in range(2)]
            assert [data_of(event) for event in events] == [1, 2]
        await a.publish(*[("feed", number) for number in range(3, 10)])
        last = events[-1]["id"]
        async with opened(http_url(b.url), query("feed"), EVENTS, last_event_id=last) as (_, body):
            await a.publish(*[("feed", number) for number in range(10, 15)])
            events = [await next_event(body) for _ in range(3, 15)]
            assert [data_of(event) for event in events] == list(range(3, 15))


async def test_a_client_that_has_seen_no_event_misses_none_either(redis):
    async with managers(redis.url) as (a, b):
        async with a.subscribe(query("feed"), extensions=BEGIN) as results:
            stands = (await anext(results)).extensions["resume"]
            assert stands["missed"] is False
        await a.publish_many([("feed", 1), ("feed", 2)])
        async with b.subscribe(query("feed"), extensions=after(stands["id"])) as results:
            assert await take(results, 2) == [1, 2]


async def test_a_client_with_an_id_that_the_engine_has_not_reached_is_told(redis):
    """Its events were lost with the engine, or it has made its id up."""
    async with managers(redis.url) as (a, b):
        receipt = await a.publish("feed", 1)
        epoch = receipt.position.partition("-")[0]
        for offset in (receipt.offset + 1_000, 2**64 - 1):
            later = after(f"{epoch}-{offset}")
            async with b.subscribe(query("feed"), extensions=later) as results:
                assert (await anext(results)).extensions["resume"]["missed"] is True
                await a.publish("feed", 2)
                assert await take(results, 1) == [2]


@every_field
async def test_a_node_that_carries_the_channel_sends_what_was_missed(field, redis):
    async with managers(redis.url) as (a, b), b.subscribe(query(field)) as others:
        async with a.subscribe(query(field), extensions=BEGIN) as results:
            stands = (await anext(results)).extensions["resume"]["id"]
        await a.publish_many([("feed", number) for number in range(0, 100)])
        async with b.subscribe(query(field), extensions=after(stands)) as results:
            await b.publish_many([("feed", number) for number in range(100, 200)])
            sent = expected(field, range(200))
            assert await take(results, len(sent)) == sent
            assert await take(others, len(sent)) == sent


@every_field
async def test_a_long_absence_is_sent_page_by_page_while_more_is_published(field, redis):
    history = History(events=5_000)
    async with managers(redis.url, history=history) as (a, b):
        first = await a.publish("feed", -1)
        for start in range(0, 2_500, 500):
            await a.publish_many([("feed", number) for number in range(start, start + 500)])

        async def publish() -> None:
            for number in range(2_500, 2_700):
                await (a, b)[number % 2].publish("feed", number)

        publishing = asyncio.create_task(publish())
        async with b.subscribe(query(field), extensions=after(first.position)) as results:
            sent = expected(field, range(2_700))
            assert await take(results, len(sent)) == sent
        await publishing


async def test_a_client_that_goes_to_and_fro_is_sent_each_event_once(redis, connect, within):
    count = 400
    async with two("this process", redis.url) as nodes:
        client = await connect(nodes[0].url)
        last = await begin(client)

        async def publish() -> None:
            for number in range(count):
                await nodes[number // 7 % 2].publish(("feed", number))

        publishing = asyncio.create_task(publish())
        seen: list[int] = []
        for turn in range(1, count):
            received, last = await numbers(client, min(7, count - len(seen)))
            seen += received
            client.kill()
            if len(seen) == count:
                break
            client = await connect(nodes[turn % 2].url)
            await client.subscribe(query("feed"), extensions=after(last))
        await within(publishing)
        assert seen == list(range(count))


async def test_a_client_goes_to_and_fro_while_links_to_redis_are_cut(redis, connect, within):
    """The nodes have received different events, and a client may be ahead of its new node."""
    count = 300
    async with two("this process", redis.url) as nodes:
        client = await connect(nodes[0].url)
        last = await begin(client)

        async def publish() -> None:
            for number in range(count):
                if number % 30 == 0:
                    await redis.command("CLIENT", "KILL", "TYPE", "pubsub")
                await nodes[number % 2].publish(("feed", number))

        publishing = asyncio.create_task(publish())
        seen: list[int] = []
        for turn in range(1, count):
            received, last = await numbers(client, min(5, count - len(seen)))
            seen += received
            client.kill()
            if len(seen) == count:
                break
            client = await connect(nodes[turn % 2].url)
            await client.subscribe(query("feed"), extensions=after(last))
        await within(publishing)
        assert seen == list(range(count))


async def test_a_node_that_is_replaced_takes_nothing_with_it(redis):
    """A deploy: the clients of a node reconnect to a new one."""
    async with node(redis.url) as old:
        first = await old.publish("feed", 0)
        await old.publish_many([("feed", 1), ("feed", 2)])
    async with node(redis.url) as new:
        async with new.subscribe(query("feed"), extensions=after(first.position)) as results:
            await new.publish("feed", 3)
            assert await take(results, 3) == [1, 2, 3]


async def test_a_manager_that_is_started_again_sends_what_was_published_before(redis):
    manager = node(redis.url)
    async with manager:
        first = await manager.publish("feed", 0)
        await manager.publish("feed", 1)
    async with manager:
        async with manager.subscribe(query("feed"), extensions=after(first.position)) as results:
            await manager.publish("feed", 2)
            assert await take(results, 2) == [1, 2]


async def test_a_filtered_subscription_is_sent_its_own_of_what_it_missed(redis):
    def event(id: int, user: int) -> dict:
        return {"channel": "orders", "data": {"id": id, "user_id": user}, "event_type": "paid"}

    async with managers(redis.url) as (a, b):
        await a.publish_many([event(0, 7)])
        async with a.subscribe("subscription { order(userId: 7) }", extensions=BEGIN) as results:
            stands = (await anext(results)).extensions["resume"]["id"]
        await a.publish_many([event(id, 7 + id % 2) for id in range(1, 10)])
        resumed = b.subscribe("subscription { order(userId: 7) }", extensions=after(stands))
        async with resumed as results:
            await a.publish_many([event(11, 8), event(12, 7)])
            assert await take(results, 5) == [f"paid {id}" for id in (2, 4, 6, 8, 12)]


async def test_a_tenant_is_sent_its_own_of_what_it_missed(redis):
    security = Security(tenant=TenantIsolation())
    async with managers(redis.url, security=security) as (a, b):
        ada, eve = [Identity(name, tenant_id=name) for name in ("ada", "eve")]
        firsts = {tenant: await a.publish("feed", 0, tenant_id=tenant) for tenant in ("ada", "eve")}
        for number in range(1, 11):
            await a.publish("feed", number, tenant_id=("ada", "eve")[number % 2])
        own = after(firsts["ada"].position)
        async with b.subscribe(query("feed"), identity=ada, extensions=own) as results:
            assert await take(results, 5) == [2, 4, 6, 8, 10]
        # An id of another tenant's stream is not valid for this one.
        async with b.subscribe(query("feed"), identity=eve, extensions=own) as results:
            assert (await anext(results)).extensions["resume"]["missed"] is True
            await a.publish("feed", 12, tenant_id="ada")
            await a.publish("feed", 13, tenant_id="eve")
            assert await take(results, 1) == [13]


@pytest.mark.parametrize("carries", [True, False], ids=["carries the channel", "is fresh"])
async def test_what_is_not_kept_any_more_is_told(carries, redis, connect):
    manager = SubscriptionManager([feed], bus=redis.url, history=History(events=5), workers=1)
    async with manager, manager.subscribe(query("feed")) as others:
        first = await manager.publish("feed", 0)
        await manager.publish_many([("feed", number) for number in range(1, 1_000)])
        await take(others, 1_000)
        await _expect_missed(redis, carries and manager, first.position)


async def _expect_missed(redis, manager, id: str) -> None:
    """Resume on a node; the client is told that events are missing, then receives new ones."""
    returning = manager or SubscriptionManager(
        [feed], bus=redis.url, history=History(events=5), workers=1
    )
    async with returning:
        async with returning.subscribe(query("feed"), extensions=after(id)) as results:
            told = await asyncio.wait_for(anext(results), 60)
            assert told.data is None and told.extensions["resume"]["missed"] is True
            stands = told.extensions["resume"]["id"]
            receipt = await returning.publish("feed", 5_000)
            result = await asyncio.wait_for(anext(results), 60)
            assert result.data == {"feed": 5_000}
            assert result.extensions["resume"] == {"id": receipt.position}
        # The id of that notice can be used to resume.
        async with returning.subscribe(query("feed"), extensions=after(stands)) as results:
            assert await take(results, 1) == [5_000]


async def test_an_id_of_the_time_before_redis_lost_its_data_is_told(redis):
    async with node(redis.url) as a:
        first = await a.publish("feed", 0)
    await redis.command("FLUSHALL")
    await _expect_missed(redis, None, first.position)


async def test_an_id_of_the_time_before_redis_was_started_again_is_told(redis):
    async with node(redis.url) as a:
        for number in range(3):
            first = await a.publish("feed", number)
    await redis.kill()
    await redis.start()
    async with node(redis.url) as a:
        # The new epoch reaches the offset of the old one.
        for number in range(5):
            await a.publish("feed", number)
        await _expect_missed(redis, None, first.position)
        await _expect_missed(redis, a, first.position)


async def test_an_id_of_the_memory_bus_is_told(redis):
    async with node("memory://") as alone:
        first = await alone.publish("feed", 0)
    async with node(redis.url) as a:
        await a.publish_many([("feed", 1), ("feed", 2)])
    await _expect_missed(redis, None, first.event_id)


async def test_an_id_of_the_engine_is_too_late_for_the_memory_bus(redis):
    async with node(redis.url) as a:
        first = await a.publish("feed", 0)
    async with node("memory://") as alone:
        await alone.publish_many([("feed", 1), ("feed", 2)])
        async with alone.subscribe(query("feed"), extensions=after(first.position)) as results:
            assert (await anext(results)).extensions["resume"]["missed"] is True


@pytest.mark.parametrize(
    "make",
    [
        lambda epoch, offset: f"{epoch}-{offset + 1_000}",
        lambda epoch, offset: f"{epoch}-{2**64 - 1}",
        lambda epoch, offset: f"{epoch[::-1]}-{offset}",
        lambda epoch, offset: f"{epoch}-",
        lambda epoch, offset: f"{epoch}",
        lambda epoch, offset: f"-{offset}",
        lambda epoch, offset: f"{epoch}--{offset}",
        lambda epoch, offset: f"{epoch}-{offset}-0",
        lambda epoch, offset: "+",
        lambda epoch, offset: "$",
        lambda epoch, offset: "x" * 10_000,
        lambda epoch, offset: "é\0\r\n",
    ],
)
async def test_an_id_that_was_made_up_is_told(make, redis):
    async with node(redis.url) as a:
        await a.publish_many([("feed", 0), ("feed", 1)])
        receipt = await a.publish("feed", 2)
    epoch, _, offset = receipt.position.rpartition("-")
    await _expect_missed(redis, None, make(epoch, int(offset)))


async def test_an_id_of_another_channel_is_told(redis):
    async with node(redis.url) as a:
        other = await a.publish("orders", 0)
        await a.publish_many([("feed", 0), ("feed", 1)])
    await _expect_missed(redis, None, other.position)


async def test_an_initial_value_is_sent_again_to_who_is_too_late(redis):
    async with node(redis.url) as a, node(redis.url) as b:
        await a.publish("feed", 1)
        async with b.subscribe(query("counted"), extensions=after("x-1")) as results:
            assert (await anext(results)).extensions["resume"]["missed"] is True
            assert await take(results, 1) == [0]
            receipt = await a.publish("feed", 2)
            result = await anext(results)
            assert result.data == {"counted": 2}
            assert result.extensions["resume"]["id"] == receipt.position
        # In time there is none.
        async with a.subscribe(query("counted"), extensions=after(receipt.position)) as results:
            await b.publish("feed", 3)
            assert await take(results, 1) == [3]


@pytest.mark.parametrize(
    ("options", "history"), [("", None), ("?history=off", History())], ids=["manager", "URL"]
)
async def test_without_history_in_redis_what_was_published_elsewhere_is_told(
    options, history, redis
):
    async with managers(redis.url + options, history=history) as (a, b):
        receipt = await a.publish("feed", 1)
        await a.publish("feed", 2)
        async with b.subscribe(query("feed"), extensions=after(receipt.event_id)) as results:
            assert (await anext(results)).extensions["resume"]["missed"] is True
            await a.publish("feed", 3)
            assert await take(results, 1) == [3]


async def test_without_history_in_redis_a_node_sends_what_it_has_carried(redis):
    async with managers(f"{redis.url}?history=off") as (a, b):
        async with b.subscribe(query("feed")) as others:
            first = await a.publish("feed", 0)
            await a.publish_many([("feed", 1), ("feed", 2)])
            await take(others, 3)
            async with b.subscribe(query("feed"), extensions=after(first.position)) as results:
                assert await take(results, 2) == [1, 2]


async def test_a_client_that_is_told_by_an_event_stream_goes_on_by_the_id_of_that(redis, serve):
    server = await serve(node(redis.url))
    async with node(redis.url) as a:
        await a.publish("feed", 1)
        stream = opened(server.http_url, query("feed"), EVENTS, last_event_id="0-1")
        async with stream as (_, body):
            told = await next_event(body)
            assert place(json.loads(told["data"])) == {"id": told["id"], "missed": True}
        await a.publish("feed", 2)
        stream = opened(server.http_url, query("feed"), EVENTS, last_event_id=told["id"])
        async with stream as (_, body):
            assert data_of(await next_event(body)) == 2


async def test_a_client_of_the_older_subprotocol_misses_nothing(redis, connect):
    async with two("this process", redis.url) as (a, b):
        last: str | None = None
        for number, each in enumerate([a, b, a]):
            if last is not None:
                await a.publish(("feed", number))
            client = await connect(each.url, subprotocols=["graphql-ws"], init=False)
            await client.send({"type": "connection_init"})
            assert (await client.receive())["type"] == "connection_ack"
            assert (await client.receive())["type"] == "ka"
            extensions = BEGIN if last is None else after(last)
            payload = {"query": query("feed"), "extensions": extensions}
            await client.send({"id": "1", "type": "start", "payload": payload})
            message = await client.receive()
            assert message["payload"]["data"] == (None if last is None else {"feed": number})
            last = place(message["payload"])["id"]
            client.kill()


async def test_a_websocket_client_that_is_told_goes_on_by_the_id_of_that(redis, connect):
    async with two("this process", redis.url) as (a, b):
        await a.publish(("feed", 1))
        client = await connect(b.url)
        await client.subscribe(query("feed"), extensions=after("0-7"))
        stands = await told_missed(client)
        await a.publish(("feed", 2))
        client.kill()
        assert stands is not None
        client = await connect(a.url)
        await client.subscribe(query("feed"), extensions=after(stands))
        assert (await numbers(client, 1))[0] == [2]
