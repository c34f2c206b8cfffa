"""`shared=True`: one resolver call for each event, whatever the number of equal subscribers."""

from __future__ import annotations

import asyncio
from datetime import date

import pytest
from support import eventually

from fraiseql_subs import GraphQLError, SchemaError, SubscriptionManager, subscription

TOTAL = "subscription { total }"


class Calls:
    """A shared resolver that counts its calls."""

    def __init__(self) -> None:
        self.count = 0
        self.entered = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()

    def subscription(self, **options):
        @subscription(channel="orders", shared=True, **options)
        async def total(event, *, factor: int = 1) -> int:
            self.count += 1
            self.entered.set()
            await self.go_on.wait()
            if event.data < 0:
                raise GraphQLError("negative")
            return event.data * factor

        return total


async def test_equal_subscribers_on_all_workers_share_one_call(serve, connect):
    calls = Calls()
    manager = SubscriptionManager([calls.subscription()], workers=2)
    server = await serve(manager)
    clients = [await connect(server.url) for _ in range(8)]
    ids: list[list[str]] = []
    for client in clients:
        ids.append([await client.subscribe(TOTAL) for _ in range(3)])
    async with manager.subscribe(TOTAL) as stream:
        for number in range(20):
            await manager.publish("orders", number)
        for number in range(20):
            assert (await anext(stream)).data == {"total": number}
            for client, own in zip(clients, ids, strict=True):
                received = {(await client.receive())["id"] for _ in own}
                assert received == set(own)
    assert calls.count == manager.metrics().resolver_calls == 20
    await eventually(lambda: manager.metrics().results_sent == 20 * 25, "all results are counted")


async def test_other_arguments_and_other_selections_have_calls_of_their_own():
    calls = Calls()
    async with (
        SubscriptionManager([calls.subscription()]) as manager,
        manager.subscribe(TOTAL) as one,
        manager.subscribe("subscription { total(factor: 1) }") as equal,
        manager.subscribe("subscription { total(factor: 2) }") as double,
        manager.subscribe("subscription { t: total }") as alias,
    ):
        await manager.publish("orders", 5)
        assert (await anext(one)).data == (await anext(equal)).data == {"total": 5}
        assert (await anext(double)).data == {"total": 10}
        assert (await anext(alias)).data == {"t": 5}
        assert calls.count == 3


async def test_a_subscriber_that_joins_later_receives_only_later_events(within):
    calls = Calls()
    calls.go_on.clear()
    async with (
        SubscriptionManager([calls.subscription()]) as manager,
        manager.subscribe(TOTAL) as first,
    ):
        for number in (1, 2):
            await manager.publish("orders", number)
        await within(calls.entered.wait())
        async with manager.subscribe(TOTAL) as late:
            await manager.publish("orders", 3)
            calls.go_on.set()
            assert [(await anext(first)).data["total"] for _ in range(3)] == [1, 2, 3]
            assert (await anext(late)).data == {"total": 3}
        assert calls.count == 3


async def test_a_group_ends_with_its_last_member_and_may_start_again():
    calls = Calls()
    async with SubscriptionManager([calls.subscription()]) as manager:
        for round in range(3):
            async with manager.subscribe(TOTAL) as one, manager.subscribe(TOTAL) as two:
                await manager.publish("orders", round)
                assert (await anext(one)).data == (await anext(two)).data == {"total": round}
            # A worker executes commands in order.
            async with manager.subscribe("{ __typename }"):
                assert manager.metrics().subscriptions == 0
            await manager.publish("orders", 100)
        assert calls.count == 3


async def test_a_member_that_leaves_does_not_disturb_the_call_under_way(within):
    calls = Calls()
    calls.go_on.clear()
    async with (
        SubscriptionManager([calls.subscription()]) as manager,
        manager.subscribe(TOTAL) as stays,
    ):
        async with manager.subscribe(TOTAL):
            await manager.publish("orders", 1)
            await within(calls.entered.wait())
        calls.go_on.set()
        assert (await anext(stays)).data == {"total": 1}


async def test_an_error_of_the_call_reaches_every_member(serve, connect):
    calls = Calls()
    manager = SubscriptionManager([calls.subscription()])
    server = await serve(manager)
    clients = [await connect(server.url) for _ in range(3)]
    for client in clients:
        await client.subscribe(TOTAL)
    await manager.publish_many([("orders", -1), ("orders", 1)])
    for client in clients:
        (error,) = (await client.receive_next())["errors"]
        assert error["message"] == "negative"
        assert await client.receive_data() == {"total": 1}


async def test_arguments_without_python_value_are_refused_for_each_subscriber(serve, connect):
    @subscription(channel="orders", shared=True)
    async def since(event, *, day: date) -> int:
        return 1

    client = await connect((await serve(SubscriptionManager([since]))).url)
    for _ in range(2):
        id = await client.subscribe('subscription { since(day: "x") }')
        (error,) = await client.receive_errors(id)
        assert "is not a date" in error["message"]


async def test_draining_waits_for_the_shared_call(connect, within):
    calls = Calls()
    calls.go_on.clear()
    manager = SubscriptionManager([calls.subscription()])
    async with manager.serve(port=0) as server:
        clients = [await connect(server.url) for _ in range(2)]
        ids = [await client.subscribe(TOTAL) for client in clients]
        await manager.publish("orders", 7)
        await within(calls.entered.wait())
        closing = asyncio.ensure_future(manager.close(drain=60.0))
        await asyncio.sleep(0)
        calls.go_on.set()
        for client, id in zip(clients, ids, strict=True):
            assert await client.receive_data(id) == {"total": 7}
            await client.expect_close(1001)
        await within(closing)


async def test_the_server_may_stop_while_in_process_members_go_on(connect):
    calls = Calls()
    async with (
        SubscriptionManager([calls.subscription()]) as manager,
        manager.subscribe(TOTAL) as stream,
    ):
        for number in range(3):
            async with manager.serve(port=0, drain=0) as server:
                client = await connect(server.url)
                id = await client.subscribe(TOTAL)
                await manager.publish("orders", number)
                assert await client.receive_data(id) == {"total": number}
            assert (await anext(stream)).data == {"total": number}
        assert calls.count == 3


@pytest.mark.parametrize(
    ("parameters", "options", "problem"),
    [
        ("event, context", {}, "remove the parameter `context`"),
        ("event", {"initial": lambda: 1}, "remove `initial`"),
    ],
)
def test_what_belongs_to_one_client_cannot_be_shared(parameters, options, problem):
    namespace: dict = {}
    exec(f"async def total({parameters}) -> int: ...", namespace)
    with pytest.raises(SchemaError, match=problem):
        subscription(channel="c", shared=True, **options)(namespace["total"])
