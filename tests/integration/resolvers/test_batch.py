"""`batch=True`: one call of the resolver for all subscribers whose calls start together."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest
from support import eventually

from fraiseql_subs import (
    SKIP,
    Call,
    Context,
    Event,
    GraphQLError,
    SubscriptionManager,
    passthrough,
    subscription,
)

VALUE = "subscription { value }"


class Batches:
    """A resolver that keeps the numbers of its calls, and waits where it is told to."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.entered = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.was_cancelled = False

    def subscription(self, answer: Callable[[Call], Any], **options: Any) -> Any:
        @subscription(channel="values", batch=True, **options)
        async def value(calls: list[Call]) -> list[int]:
            self.sizes.append(len(calls))
            self.entered.set()
            try:
                await self.go_on.wait()
            except asyncio.CancelledError:
                self.was_cancelled = True
                raise
            return [answer(call) for call in calls]

        return value


def data(call: Call) -> Any:
    return call.event.data


async def many(manager: SubscriptionManager, serve, connect, count: int, document: str = VALUE):
    """Connect clients with a subscription each; return them with its id."""
    server = await serve(manager)
    clients = [await connect(server.url) for _ in range(count)]
    return [(client, await client.subscribe(document)) for client in clients]


async def test_subscribers_of_one_event_are_few_calls(serve, connect):
    batches = Batches()
    manager = SubscriptionManager([batches.subscription(data)], workers=2)
    clients = await many(manager, serve, connect, 20)
    for number in range(10):
        await manager.publish("values", number)
    for client, id in clients:
        for number in range(10):
            assert await client.receive_data(id) == {"value": number}
    assert sum(batches.sizes) == manager.metrics().resolver_calls == 200
    assert len(batches.sizes) < 200


async def test_calls_that_start_together_are_one_batch(serve, connect):
    batches = Batches()
    mark = passthrough("mark", int, channel="marks")
    manager = SubscriptionManager([batches.subscription(data), mark], workers=1)
    clients = await many(manager, serve, connect, 5)
    marked, _ = clients[0]
    mark_id = await marked.subscribe("subscription { mark }")
    batches.go_on.clear()
    await manager.publish("values", 1)
    await eventually(lambda: sum(batches.sizes) == 5, "all calls are made")
    # The next event waits for the end of these calls.
    await manager.publish_many([("values", 2), ("marks", 0)])
    assert await marked.receive_data(mark_id) == {"mark": 0}
    batches.go_on.set()
    for client, id in clients:
        assert await client.receive_data(id) == {"value": 1}
        assert await client.receive_data(id) == {"value": 2}
    assert sum(batches.sizes) == 10
    assert batches.sizes[-1] == 5


async def test_a_batch_is_bounded():
    batches = Batches()
    batches.go_on.clear()
    async with SubscriptionManager([batches.subscription(data, concurrency=1024)]) as manager:
        streams = [manager.subscribe(VALUE) for _ in range(4)]
        for stream in streams:
            await stream.__aenter__()
        await manager.publish_many([("values", number) for number in range(900)])
        await eventually(lambda: sum(batches.sizes) == 3600, "all calls are made")
        batches.go_on.set()
        for stream in streams:
            assert [(await anext(stream)).data["value"] for _ in range(900)] == [*range(900)]
            await stream.aclose()
    assert max(batches.sizes) <= 1000


@pytest.mark.parametrize("concurrency", [1, 8])
async def test_results_are_in_the_order_of_the_events(serve, connect, concurrency):
    @subscription(channel="values", batch=True, concurrency=concurrency)
    async def value(calls: list[Call]) -> list[int]:
        # Some batches end after later ones.
        for _ in range(calls[0].event.data % 3):
            await asyncio.sleep(0)
        return [call.event.data for call in calls]

    manager = SubscriptionManager([value])
    clients = await many(manager, serve, connect, 5)
    for number in range(30):
        await manager.publish("values", number)
    for client, id in clients:
        received = [await client.receive_data(id) for _ in range(30)]
        assert received == [{"value": number} for number in range(30)]


async def test_each_result_goes_to_its_subscriber(serve, connect):
    @subscription(channel="values", batch=True, arguments={"own_number": int, "since": date})
    def value(calls: list[Call]) -> list[str]:
        return [
            f"{call.variables['own_number']} {call.variables['since'].year} {call.event.data}"
            for call in calls
        ]

    manager = SubscriptionManager([value])
    server = await serve(manager)
    clients = []
    for number in range(10):
        client = await connect(server.url)
        document = f'subscription {{ value(ownNumber: {number}, since: "20{number:02}-01-01") }}'
        clients.append((client, await client.subscribe(document)))
    await manager.publish("values", "x")
    for number, (client, id) in enumerate(clients):
        assert await client.receive_data(id) == {"value": f"{number} 20{number:02} x"}
    bad = await clients[0][0].subscribe('subscription { value(ownNumber: 1, since: "x") }')
    (error,) = await clients[0][0].receive_errors(bad)
    assert "argument since" in error["message"]


async def test_routing_by_declared_arguments():
    @subscription(
        channel="orders.{user_id}",
        batch=True,
        arguments={"user_id": int, "state": str},
        filter={"state": "$state"},
    )
    async def order(calls: list[Call]) -> list[str]:
        return [f"{call.event.channel} {call.event['state']}" for call in calls]

    async with (
        SubscriptionManager([order]) as manager,
        manager.subscribe('subscription { order(userId: 1, state: "paid") }') as first,
        manager.subscribe('subscription { order(userId: 2, state: "new") }') as second,
    ):
        for user in (1, 2):
            for state in ("new", "paid"):
                await manager.publish(f"orders.{user}", {"state": state})
        assert (await anext(first)).data == {"order": "orders.1 paid"}
        assert (await anext(second)).data == {"order": "orders.2 new"}


async def test_skip_and_exceptions_are_of_one_subscriber(serve, connect, caplog):
    def answer(call: Call) -> Any:
        return {
            "skip": SKIP,
            "told": GraphQLError("no such order", extensions={"code": "NOT_FOUND"}),
            "masked": ValueError("the secret"),
            "value": 1,
        }[call.variables["what"]]

    arguments = {"what": str}
    batches = Batches()
    manager = SubscriptionManager([batches.subscription(answer, arguments=arguments)])
    server = await serve(manager)
    clients = {}
    for what in ("skip", "told", "masked", "value"):
        client = await connect(server.url)
        id = await client.subscribe(f'subscription {{ value(what: "{what}") }}')
        clients[what] = (client, id)
    for _ in range(2):
        await manager.publish("values", 0)
    for _ in range(2):
        client, id = clients["value"]
        assert await client.receive_data(id) == {"value": 1}
        client, id = clients["told"]
        (error,) = (await client.receive_next(id))["errors"]
        assert (error["message"], error["path"]) == ("no such order", ["value"])
        assert error["extensions"] == {"code": "NOT_FOUND"}
        client, id = clients["masked"]
        (error,) = (await client.receive_next(id))["errors"]
        assert error["message"] == "Internal server error"
    assert "the resolver of value raised" in caplog.text and "the secret" in caplog.text
    await eventually(lambda: manager.metrics().results_sent == 6, "all results are counted")


async def test_a_raised_exception_is_the_error_of_all(serve, connect, caplog):
    @subscription(channel="values", batch=True)
    async def value(calls: list[Call]) -> list[int]:
        if calls[0].event.data < 0:
            raise ValueError("negative")
        return [1] * len(calls)

    manager = SubscriptionManager([value])
    clients = await many(manager, serve, connect, 3)
    await manager.publish("values", -1)
    for client, id in clients:
        (error,) = (await client.receive_next(id))["errors"]
        assert error["message"] == "Internal server error"
    await manager.publish("values", 1)
    for client, id in clients:
        assert await client.receive_data(id) == {"value": 1}
    assert "the resolver of value raised" in caplog.text
    assert manager.metrics().resolver_errors == 3


@pytest.mark.parametrize(
    ("results", "text"),
    [
        ([1, 2], "the batch has 1 calls and 2 results"),
        ([], "the batch has 1 calls and 0 results"),
        ({"a": 1}, "the result is a dict"),
        (None, "the result is a NoneType"),
        ("x", "the result is a str"),
    ],
)
async def test_results_of_another_form_are_an_error_of_all(results, text, caplog):
    @subscription(channel="values", batch=True)
    async def value(calls: list[Call]) -> list[int]:
        return results if calls[0].event.data else [1]

    async with SubscriptionManager([value]) as manager, manager.subscribe(VALUE) as stream:
        await manager.publish_many([("values", 1), ("values", 0)])
        (error,) = (await anext(stream)).errors
        assert error["message"] == "Internal server error"
        assert (await anext(stream)).data == {"value": 1}
    assert text in caplog.text
    assert "return a list with one result for each call, in the order of the calls" in caplog.text


async def test_one_object_is_projected_for_each_selection(serve, connect):
    reads: list[str] = []

    class Order:
        @property
        def id(self) -> int:
            reads.append("id")
            return 7

        @property
        def state(self) -> str:
            return "new"

    @subscription(channel="values", batch=True)
    async def order(calls: list[Call]) -> list[Any]:
        one = Order()
        return [one for _ in calls]

    sdl = "type Subscription { order: Order } type Order { id: Int state: String }"
    manager = SubscriptionManager([order], schema=sdl)
    server = await serve(manager)
    clients = [await connect(server.url) for _ in range(3)]
    for client in clients:
        await client.subscribe("subscription { order { id } }")
    other = await connect(server.url)
    await other.subscribe("subscription { order { state } }")
    await manager.publish("values", 1)
    assert await other.receive_data() == {"order": {"state": "new"}}
    for client in clients:
        assert await client.receive_data() == {"order": {"id": 7}}
    assert 1 <= len(reads) <= 3


async def test_one_that_leaves_does_not_disturb_the_others():
    batches = Batches()
    batches.go_on.clear()
    async with (
        SubscriptionManager([batches.subscription(data)]) as manager,
        manager.subscribe(VALUE) as stays,
    ):
        async with manager.subscribe(VALUE):
            await manager.publish("values", 1)
            await eventually(lambda: sum(batches.sizes) == 2, "both calls are made")
        batches.go_on.set()
        assert (await anext(stays)).data == {"value": 1}
        await manager.publish("values", 2)
        assert (await anext(stays)).data == {"value": 2}
    assert not batches.was_cancelled


async def test_a_batch_is_cancelled_when_all_have_left():
    batches = Batches()
    batches.go_on.clear()
    async with SubscriptionManager([batches.subscription(data)]) as manager:
        async with manager.subscribe(VALUE), manager.subscribe(VALUE):
            await manager.publish("values", 1)
            await eventually(lambda: sum(batches.sizes) == 2, "both calls are made")
        await eventually(lambda: batches.was_cancelled, "the batch is cancelled")


async def test_a_timeout_is_an_error_of_the_calls_that_wait(serve, connect):
    batches = Batches()
    batches.go_on.clear()
    manager = SubscriptionManager([batches.subscription(data, timeout=0.05)])
    clients = await many(manager, serve, connect, 3)
    await manager.publish("values", 1)
    for client, id in clients:
        (error,) = (await client.receive_next(id))["errors"]
        assert "0.05" in error["message"]
    await eventually(lambda: batches.was_cancelled, "the batch is cancelled")
    assert manager.metrics().resolver_timeouts == 3


async def test_draining_waits_for_batches(connect, within):
    batches = Batches()
    batches.go_on.clear()
    manager = SubscriptionManager([batches.subscription(data)])
    async with manager.serve(port=0) as server:
        clients = [await connect(server.url) for _ in range(3)]
        ids = [await client.subscribe(VALUE) for client in clients]
        await manager.publish("values", 7)
        await within(batches.entered.wait())
        closing = asyncio.ensure_future(manager.close(drain=60.0))
        await asyncio.sleep(0)
        batches.go_on.set()
        for client, id in zip(clients, ids, strict=True):
            assert await client.receive_data(id) == {"value": 7}
            await client.expect_close(1001)
        await within(closing)


async def test_closing_without_a_drain_cancels_batches(within):
    batches = Batches()
    batches.go_on.clear()
    manager = SubscriptionManager([batches.subscription(data)])
    async with manager, manager.subscribe(VALUE):
        await manager.publish("values", 7)
        await within(batches.entered.wait())
        await manager.close(drain=0)
        await eventually(lambda: batches.was_cancelled, "the batch is cancelled")


def test_an_event_loop_that_ends_ends_its_batches():
    ended: list[bool] = []

    @subscription(channel="values", batch=True)
    async def value(calls: list[Call]) -> list[int]:
        try:
            entered.set()
            await asyncio.Event().wait()
        finally:
            ended.append(True)
        return []

    async def run() -> None:
        stream = manager.subscribe(VALUE)
        await stream.__aenter__()
        await manager.publish("values", 1)
        await entered.wait()

    entered = asyncio.Event()
    manager = SubscriptionManager([value])
    event_loop = asyncio.new_event_loop()
    event_loop.run_until_complete(run())
    event_loop.close()
    assert ended == [True]


async def test_an_initial_value_comes_first():
    def first(variables: dict[str, Any], context: Context, *, number: int) -> int:
        assert context.value == "us" and variables == {"number": number}
        return -number

    declared = Batches().subscription(data, initial=first, arguments={"number": int})
    async with (
        SubscriptionManager([declared]) as manager,
        manager.subscribe("subscription { value(number: 5) }", context="us") as stream,
    ):
        assert (await anext(stream)).data == {"value": -5}
        await manager.publish("values", 1)
        assert (await anext(stream)).data == {"value": 1}


async def test_calls_have_contexts_and_the_variables_of_the_manager():
    mark = contextvars.ContextVar("mark", default="none")

    @subscription(channel="values", batch=True)
    async def value(calls: list[Call]) -> list[str]:
        return [f"{call.context.value} {mark.get()}" for call in calls]

    mark.set("start")
    async with SubscriptionManager([value]) as manager:
        mark.set("later")
        async with (
            manager.subscribe(VALUE, context="one") as one,
            manager.subscribe(VALUE, context="two") as two,
        ):
            await manager.publish("values", 1)
            assert (await anext(one)).data == {"value": "one start"}
            assert (await anext(two)).data == {"value": "two start"}


async def test_groups_of_shared_calls_are_batched():
    contexts: list[str] = []
    sizes: list[int] = []

    @subscription(channel="values", batch=True, shared=True, arguments={"factor": int})
    async def value(calls: list[Call]) -> list[int]:
        sizes.append(len(calls))
        with pytest.raises(AttributeError) as told:
            _ = calls[0].context
        contexts.append(str(told.value))
        return [call.event.data * call.variables["factor"] for call in calls]

    documents = [f"subscription {{ value(factor: {factor}) }}" for factor in (1, 1, 2, 2)]
    async with SubscriptionManager([value]) as manager:
        streams = [manager.subscribe(document) for document in documents]
        for stream in streams:
            await stream.__aenter__()
        await manager.publish("values", 3)
        assert [(await anext(stream)).data["value"] for stream in streams] == [3, 3, 6, 6]
        for stream in streams:
            await stream.aclose()
    assert sum(sizes) == 2
    assert "with shared=True it answers several clients" in contexts[0]


async def test_a_schema_in_sdl_needs_no_declared_arguments():
    @subscription(channel="orders.{userId}", batch=True)
    def total(calls):
        return [call.variables["userId"] for call in calls]

    sdl = "type Subscription { total(userId: Int): Int plain: Int }"
    plain = passthrough("plain", channel="plain")
    async with (
        SubscriptionManager([total, plain], schema=sdl) as manager,
        manager.subscribe("subscription { total(userId: 4) }") as stream,
    ):
        await manager.publish("orders.4", None)
        assert (await anext(stream)).data == {"total": 4}


OPTIONAL = {"first": int | None, "second": int | None}
SDL = "type Subscription { value(first: Int, second: Int): String }"


@pytest.mark.parametrize(("schema", "arguments"), [(None, OPTIONAL), (SDL, OPTIONAL), (SDL, None)])
async def test_an_argument_that_is_left_out_is_none(schema, arguments):
    @subscription(channel="values", batch=True, arguments=arguments)
    def value(calls: list[Call]) -> list[str]:
        return [str(dict(sorted(call.variables.items()))) for call in calls]

    async with SubscriptionManager([value], schema=schema) as manager:
        for given, expected in [
            ("", {"first": None, "second": None}),
            ("(second: 2)", {"first": None, "second": 2}),
            ("(first: null, second: 2)", {"first": None, "second": 2}),
        ]:
            async with manager.subscribe(f"subscription {{ value{given} }}") as stream:
                await manager.publish("values", 0)
                assert (await anext(stream)).data == {"value": str(expected)}


async def test_arguments_of_a_class_have_its_defaults():
    @dataclass
    class Arguments:
        room: str
        shout: bool = False

    @subscription(channel="chat.{room}", batch=True, arguments=Arguments)
    def value(calls: list[Call[Arguments]]) -> list[str]:
        return [f"{call.variables.room} {call.variables.shout}" for call in calls]

    async with (
        SubscriptionManager([value]) as manager,
        manager.subscribe('subscription { value(room: "a") }') as quiet,
        manager.subscribe('subscription { value(room: "a", shout: true) }') as loud,
    ):
        await manager.publish("chat.a", 1)
        assert (await anext(quiet)).data == {"value": "a False"}
        assert (await anext(loud)).data == {"value": "a True"}


@pytest.mark.parametrize("exit", [KeyboardInterrupt, SystemExit])
async def test_an_exit_among_the_results_is_a_logged_error_of_its_call(exit, caplog):
    @subscription(channel="values", batch=True)
    def value(calls: list[Call]) -> list[int]:
        return [exit() if call.context.value == "ends" else 1 for call in calls]

    async with (
        SubscriptionManager([value]) as manager,
        manager.subscribe(VALUE, context="ends") as ends,
        manager.subscribe(VALUE, context="stays") as stays,
    ):
        await manager.publish("values", 0)
        (error,) = (await anext(ends)).errors
        assert error["message"] == "Internal server error"
        assert (await anext(stays)).data == {"value": 1}
    assert "the resolver of value raised" in caplog.text
    assert exit.__name__ in caplog.text and "raise it, or return another" in caplog.text


async def test_a_call_for_tests_of_a_resolver():
    declared = Batches().subscription(lambda call: call.variables["n"] + call.event["m"])
    call = Call(Event({"m": 2}), {"n": 1}, Context(value=5))
    assert await declared([call]) == [3]
    assert call.context.value == 5
    assert Call(Event(1)).variables == {}
    with pytest.raises(
        AttributeError, match=r"in a test, pass one: Call\(event, variables, Context"
    ):
        _ = Call(Event(1)).context
    assert "with {'n': 1}" in repr(call)
