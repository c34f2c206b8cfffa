"""Clients that resume: they receive each missed event once, or are told that events are missing."""

from __future__ import annotations

import asyncio
import json

import pytest
from histories import (
    BEGIN,
    FEED,
    KINDS,
    after,
    begin,
    called,
    every_kind,
    missed,
    plain,
    publish,
    receive,
)
from support import PATIENCE, eventually
from support.progress import clients_left
from support.protocol_client import ProtocolClient
from support.servers import SERVERS

from fraiseql_subs import (
    ExecutionResult,
    History,
    Limits,
    SubscriptionManager,
    ValidationError,
    subscription,
)


@every_kind
async def test_a_client_that_resumes_receives_missed_events_and_then_new_ones(kind, serve, connect):
    manager = SubscriptionManager([KINDS[kind]()])
    server = await serve(manager)
    client = await connect(server.url)
    id, _ = await begin(client)
    await publish(manager, 1, 2)
    assert (await receive(client, id))[0] == 1
    number, last = await receive(client, id)
    assert number == 2
    client.kill()
    await publish(manager, *range(3, 200))
    client = await connect(server.url)
    id = await client.subscribe(FEED, extensions=after(last))
    await publish(manager, *range(200, 300))
    for expected in range(3, 300):
        number, _ = await receive(client, id)
        assert number == expected
    metrics = manager.metrics()
    assert metrics.subscriptions_resumed == 1
    assert metrics.events_replayed >= 197
    assert metrics.resumes_too_late == 0


async def test_a_client_without_the_extension_receives_no_ids(serve, connect):
    manager = SubscriptionManager([plain()])
    client = await connect((await serve(manager)).url)
    id = await client.subscribe(FEED)
    await publish(manager, 1)
    assert await client.receive_next(id) == {"data": {"feed": 1}}


@every_kind
async def test_a_client_that_has_seen_no_event_misses_none_either(kind, serve, connect):
    manager = SubscriptionManager([KINDS[kind]()])
    server = await serve(manager)
    client = await connect(server.url)
    _, stands = await begin(client)
    client.kill()
    await publish(manager, 1, 2)
    client = await connect(server.url)
    id = await client.subscribe(FEED, extensions=after(stands))
    assert [(await receive(client, id))[0] for _ in range(2)] == [1, 2]


async def follow(url: str, last: int, kill: asyncio.Event) -> list[int]:
    """Receive up to `last`; whenever `kill` is set, the connection is lost and made again."""
    seen: list[int] = []
    extensions = BEGIN
    while not seen or seen[-1] < last:
        client = await ProtocolClient.connect(url)
        await client.init()
        id = await client.subscribe(FEED, extensions=extensions)
        kill.clear()
        while not kill.is_set() and (not seen or seen[-1] < last):
            result = await client.receive_next(id)
            resume = result["extensions"]["resume"]
            extensions = after(resume["id"])
            assert not resume.get("missed")
            if result["data"] is not None:
                seen.append(result["data"]["feed"])
        client.kill()
    return seen


@every_kind
@pytest.mark.parametrize("server", ["embedded", "starlette", "aiohttp"])
async def test_connections_die_under_load_and_nothing_is_lost_or_doubled(kind, server, within):
    count, clients = 3_000, 4
    limits = Limits(keepalive=None)
    manager = SubscriptionManager([KINDS[kind]()], history=History(events=count), limits=limits)
    async with SERVERS[server](manager) as url:
        kills = [asyncio.Event() for _ in range(clients)]
        followers = [asyncio.ensure_future(follow(url, count, kill)) for kill in kills]
        await eventually(
            lambda: manager.metrics().subscriptions == clients, "all clients are subscribed"
        )
        numbers = iter(range(1, count + 1))

        async def publisher(place: int) -> None:
            # Offsets follow the order of the calls, from any publisher.
            for number in numbers:
                await manager.publish("feed", number)
                if number % 97 == 0:
                    kills[number // 97 % clients].set()
                await asyncio.sleep(0)

        await asyncio.gather(*(publisher(place) for place in range(3)))
        for seen in await asyncio.wait_for(asyncio.gather(*followers), PATIENCE):
            assert seen == list(range(1, count + 1))
    assert manager.metrics().resumes_too_late == 0


@every_kind
async def test_a_client_that_is_too_late_is_notified_and_continues_live(kind, serve, connect):
    manager = SubscriptionManager([KINDS[kind]()], history=History(events=5))
    server = await serve(manager)
    client = await connect(server.url)
    _, stands = await begin(client)
    client.kill()
    await publish(manager, *range(6))
    client = await connect(server.url)
    id = await client.subscribe(FEED, extensions=after(stands))
    gap = await missed(client, id)
    await publish(manager, 7)
    assert (await receive(client, id))[0] == 7
    client.kill()
    # The id can be used to resume again.
    client = await connect(server.url)
    id = await client.subscribe(FEED, extensions=after(gap["id"]))
    assert (await receive(client, id))[0] == 7
    assert manager.metrics().resumes_too_late == 1


async def test_an_id_that_is_unknown_old_or_of_another_start_is_too_late(serve, connect):
    manager = SubscriptionManager([plain()], history=History(seconds=0.2))
    async with manager:
        old = (await manager.publish("feed", 0)).event_id
    server = await serve(manager)
    client = await connect(server.url)
    receipt = await manager.publish("feed", 1)
    future = receipt.event_id.rpartition("-")[0] + "-99"
    await manager.publish("feed", 2)
    for id in (old, future, "nonsense", f"{receipt.event_id}x", "-1", "1"):
        operation = await client.subscribe(FEED, extensions=after(id))
        await missed(client, operation)
        await client.complete(operation)
    await eventually(lambda: not manager.metrics().history_events, "the history is empty")
    operation = await client.subscribe(FEED, extensions=after(receipt.event_id))
    await missed(client, operation)


@pytest.mark.parametrize("kind", ["resolver", "concurrent"])
async def test_the_initial_value_is_sent_to_new_clients_and_those_that_missed_events(
    kind, serve, connect
):
    state = {"value": 10}
    options = {"concurrency": 8} if kind == "concurrent" else {}
    feed = called(initial=lambda: state["value"], **options)
    manager = SubscriptionManager([feed], history=History(events=3))
    server = await serve(manager)
    client = await connect(server.url)
    id = await client.subscribe(FEED, extensions=BEGIN)
    # It has no position before the initial value.
    assert (await client.receive_next(id))["extensions"] == {"resume": {"missed": False}}
    assert (await receive(client, id))[0] == 10
    await publish(manager, 11)
    _, last = await receive(client, id)
    client.kill()
    await publish(manager, 12, 13)
    client = await connect(server.url)
    id = await client.subscribe(FEED, extensions=after(last))
    assert [(await receive(client, id))[0] for _ in range(2)] == [12, 13]
    client.kill()
    await publish(manager, *range(14, 20))
    state["value"] = 19
    client = await connect(server.url)
    id = await client.subscribe(FEED, extensions=after(last))
    assert await missed(client, id) == {}
    number, last = await receive(client, id)
    assert number == 19
    client.kill()
    await publish(manager, 20)
    client = await connect(server.url)
    id = await client.subscribe(FEED, extensions=after(last))
    assert (await receive(client, id))[0] == 20


async def test_in_process_subscribers_resume_by_receipt_and_by_id():
    @subscription(channel="feed", name="feed")
    async def feed(event) -> int:
        return event.data

    async with SubscriptionManager([feed]) as manager:
        receipts = [await manager.publish("feed", n) for n in range(5)]
        stream = manager.subscribe(FEED, extensions=after(receipts[2].event_id))
        result = await anext(stream)
        id = receipts[3].event_id
        assert result == ExecutionResult({"feed": 3}, extensions={"resume": {"id": id}})
        assert (await anext(stream)).data == {"feed": 4}
        own = await manager.publish("feed", 5, event_id="own")
        assert own.event_id == "own"
        assert (await anext(stream)).data == {"feed": 5}
        await manager.publish("feed", 6)
        late = manager.subscribe(FEED, extensions=after("own"))
        assert (await anext(late)).data == {"feed": 6}


async def test_a_transport_of_ones_own_resumes_as_well():
    async with SubscriptionManager([plain()]) as manager:
        executor = manager.executor
        await executor.publish_event("feed", 1)
        id = await executor.register_subscription(FEED, extensions=BEGIN)
        stands = json.loads(await executor.next_event(id))["extensions"]["resume"]["id"]
        await executor.complete_subscription(id)
        await executor.publish_event("feed", 2)
        id = await executor.register_subscription(FEED, extensions=after(stands))
        response = json.loads(await executor.next_event(id))
        assert response["data"] == {"feed": 2}
        assert response["extensions"]["resume"]["id"].startswith(stands.rpartition("-")[0])


@pytest.mark.parametrize(
    ("resume", "problem"),
    [(True, "must be an object"), ({"after": 7}, "must be a string"), ([], "must be an object")],
)
async def test_what_cannot_be_understood_is_refused(resume, problem, serve, connect):
    manager = SubscriptionManager([plain()])
    client = await connect((await serve(manager)).url)
    id = await client.subscribe(FEED, extensions={"resume": resume})
    [error] = await client.receive_errors(id)
    assert problem in error["message"]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    with pytest.raises(ValidationError, match=problem):
        await anext(manager.subscribe(FEED, extensions={"resume": resume}))


async def test_without_history_there_are_no_ids_and_every_return_is_too_late(serve, connect):
    manager = SubscriptionManager([plain()], history=None)
    client = await connect((await serve(manager)).url)
    id = await client.subscribe(FEED, extensions=BEGIN)
    assert (await client.receive_next(id))["extensions"] == {"resume": {"missed": False}}
    receipt = await manager.publish("feed", 1)
    assert await client.receive_next(id) == {"data": {"feed": 1}}
    id = await client.subscribe(FEED, extensions=after(receipt.event_id))
    assert await missed(client, id) == {}
    assert manager.metrics().history_events == manager.metrics().history_bytes == 0


async def test_a_source_stream_restarts_and_reports_missed_events():
    @subscription
    async def countdown():
        yield 1

    countdown.__annotations__["return"] = "AsyncIterator[int]"
    sdl = "type Query { ok: Int } type Subscription { countdown: Int }"
    async with SubscriptionManager([countdown], schema=sdl) as manager:
        stream = manager.subscribe("subscription { countdown }", extensions=after("x"))
        assert (await anext(stream)).extensions == {"resume": {"missed": True}}
        assert (await anext(stream)).data == {"countdown": 1}


async def test_a_query_has_nothing_to_resume(serve, connect):
    manager = SubscriptionManager([plain()])
    client = await connect((await serve(manager)).url)
    id = await client.subscribe("{ __typename }", extensions=after("x"))
    assert await client.receive_next(id) == {"data": {"__typename": "Query"}}


async def test_the_older_subprotocol_resumes_as_well(serve, connect):
    manager = SubscriptionManager([plain()])
    server = await serve(manager)
    last: str | None = None
    for number in range(3):
        if last is not None:
            await publish(manager, number)
        client = await connect(server.url, subprotocols=["graphql-ws"], init=False)
        await client.send({"type": "connection_init"})
        assert (await client.receive())["type"] == "connection_ack"
        assert (await client.receive())["type"] == "ka"
        extensions = BEGIN if last is None else after(last)
        payload = {"query": FEED, "extensions": extensions}
        await client.send({"id": "1", "type": "start", "payload": payload})
        message = await client.receive()
        assert message["type"] == "data"
        assert message["payload"]["data"] == (None if last is None else {"feed": number})
        last = message["payload"]["extensions"]["resume"]["id"]
        client.kill()
        await clients_left(manager)
