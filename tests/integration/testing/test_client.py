"""`fraiseql_subs.testing.TestClient`: in process, and with connections without a socket."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from support import eventually

from fraiseql_subs import (
    ConnectionParams,
    Context,
    Event,
    GraphQLError,
    Identity,
    Limits,
    PublishError,
    Security,
    SubscriptionManager,
    ValidationError,
    subscription,
)
from fraiseql_subs.testing import ConnectionEnded, SyncTestClient, TestClient


@dataclass
class Order:
    id: int
    status: str


@subscription(channel="orders")
async def order(event: Event[Order]) -> Order:
    if event.data.id == 13:
        raise GraphQLError("unlucky")
    return event.data


@subscription(channel="orders")
async def user(event: Event, context: Context[str]) -> str:
    assert context.params is not None
    return f"{context.require_identity().user_id} {context.value} {context.params.in_process}"


async def authenticate(params: ConnectionParams) -> Identity | None:
    name = params.headers.get("x-user") or (params.payload or {}).get("user")
    return None if name is None else Identity(str(name))


DOCUMENT = "subscription { order { status } }"
PAID = {"id": 1, "status": "PAID"}


async def test_results_come_one_by_one():
    async with TestClient(SubscriptionManager([order])) as client:
        async with client.subscribe(DOCUMENT) as orders:
            await orders.assert_none()
            await client.publish("orders", PAID)
            await client.publish_many([("orders", {"id": 13, "status": ""}), ("orders", PAID)])
            assert await orders.next() == {"order": {"status": "PAID"}}
            assert [error["message"] for error in await orders.next_errors()] == ["unlucky"]
            result = await orders.next_result()
            assert result.data == {"order": {"status": "PAID"}} and result.errors is None
            await orders.assert_none()
            # What came during a wait for nothing is not lost.
            await client.publish("orders", PAID)
            assert (await anext(orders)).data == {"order": {"status": "PAID"}}


async def test_each_of_those_that_wait_takes_a_result_of_its_own():
    async with TestClient(SubscriptionManager([order])) as client:
        async with client.subscribe(DOCUMENT) as orders:
            waiting = [asyncio.ensure_future(orders.next()) for _ in range(3)]
            for status in ("NEW", "PAID", "SENT"):
                await client.publish("orders", {"id": 1, "status": status})
            taken = [each["order"]["status"] for each in await asyncio.gather(*waiting)]
            assert sorted(taken) == ["NEW", "PAID", "SENT"]
            with pytest.raises(AssertionError, match=r"^no result has come in 0\.01 s$"):
                await orders.next(timeout=0.01)


async def test_a_wrong_expectation_says_what_came():
    async with TestClient(SubscriptionManager([order]), timeout=0.05) as client:
        async with client.subscribe(DOCUMENT) as orders:
            with pytest.raises(AssertionError, match=r"no result has come in 0\.05 s"):
                await orders.next()
            await client.publish("orders", {"id": 13, "status": ""})
            with pytest.raises(AssertionError, match=r"has errors: .*unlucky"):
                await orders.next(timeout=5)
            await client.publish("orders", PAID)
            with pytest.raises(AssertionError, match=r"has no errors: .*PAID"):
                await orders.next_errors(timeout=5)
            await client.publish("orders", PAID)
            with pytest.raises(AssertionError, match=r"a result came: .*PAID"):
                await orders.assert_none(within=5)


async def test_the_rest_comes_when_the_manager_closes():
    async with TestClient(SubscriptionManager([order])) as client:
        async with client.subscribe(DOCUMENT) as orders:
            await client.publish_many([("orders", PAID)] * 3)
            await client.close()
            assert [each.data for each in await orders.rest()] == [
                {"order": {"status": "PAID"}}
            ] * 3
            with pytest.raises(AssertionError, match="has ended"):
                await orders.next()


async def test_identity_and_context_are_those_of_the_client_or_of_the_subscription():
    manager = SubscriptionManager([user])
    async with TestClient(manager, identity=Identity("ada"), context="one") as client:
        document = "subscription { user }"
        async with (
            client.subscribe(document) as own,
            client.subscribe(document, identity=Identity("bo"), context="two") as other,
            client.subscribe(document, identity=None) as none,
        ):
            await client.publish("orders", PAID)
            assert await own.next() == {"user": "ada one True"}
            assert await other.next() == {"user": "bo two True"}
            assert (await none.next_errors())[0]["message"] == "authentication is required"


async def test_a_refused_document_raises():
    async with TestClient(SubscriptionManager([order])) as client:
        with pytest.raises(ValidationError, match="Cannot query field"):
            async with client.subscribe("subscription { order { price } }"):
                pass
        assert (await client.execute("{ __typename }")).data == {"__typename": "Query"}


@pytest.mark.parametrize("is_connection", [True, False], ids=["connection", "in process"])
async def test_the_initial_value_has_begun_inside_the_block(is_connection):
    begun = []

    async def first(*, context: Context) -> int:
        begun.append(1)
        await asyncio.sleep(0.005)
        return 0

    @subscription(channel="orders", initial=first)
    async def number(event: Event[int]) -> int:
        return event.data

    async with TestClient(SubscriptionManager([number])) as client, client.connect() as connection:
        for count in range(1, 61):
            source = connection if is_connection else client
            async with source.subscribe("subscription { number }") as numbers:
                assert len(begun) == count
                await client.publish("orders", count)
                assert await numbers.next() == {"number": 0}
                assert await numbers.next() == {"number": count}


async def test_a_connection_is_authenticated():
    manager = SubscriptionManager([user, order], security=Security(authenticate=authenticate))
    async with TestClient(manager, headers={"X-User": "ada"}, context="one") as client:
        async with (
            client.connect() as by_header,
            client.connect(headers={"X-User": ""}, payload={"user": "bo"}) as by_payload,
            by_header.subscribe("subscription { user }") as first,
            by_payload.subscribe("subscription { user }") as second,
            by_header.subscribe(DOCUMENT) as orders,
        ):
            await client.publish("orders", PAID)
            assert await first.next() == {"user": "ada one False"}
            assert await second.next() == {"user": "bo one False"}
            assert await orders.next() == {"order": {"status": "PAID"}}
            await orders.assert_none()
            users = {info.identity.user_id for info in manager.connections() if info.identity}
            assert users == {"ada", "bo"}
        await eventually(lambda: manager.metrics().connections == 0, "both are closed")


async def test_a_connection_that_is_refused_says_why():
    manager = SubscriptionManager(
        [order], security=Security(authenticate=authenticate, origins=["https://shop.example"])
    )
    async with TestClient(manager) as client:
        with pytest.raises(ConnectionEnded, match="closed with 4403: Forbidden") as told:
            async with client.connect():
                pass
        assert (told.value.code, told.value.status) == (4403, None)
        with pytest.raises(ConnectionEnded, match="refused with 403") as told:
            async with client.connect(headers={"x-user": "ada", "origin": "https://other.example"}):
                pass
        assert (told.value.code, told.value.status) == (None, 403)


async def test_operations_of_a_connection_are_refused_and_end():
    manager = SubscriptionManager([order], limits=Limits(max_subscriptions_per_connection=1))
    async with TestClient(manager) as client, client.connect() as connection:
        with pytest.raises(ValidationError, match="Cannot query field"):
            async with connection.subscribe("subscription { order { price } }"):
                raise AssertionError("a refused subscription is entered")
        async with connection.subscribe(DOCUMENT) as orders:
            with pytest.raises(ValidationError):
                async with connection.subscribe(DOCUMENT):
                    raise AssertionError("a refused subscription is entered")
            await client.publish("orders", PAID)
            assert await orders.next() == {"order": {"status": "PAID"}}
            closing = asyncio.create_task(client.close())
            ended = await connection.wait_closed()
            assert ended.code == 1001
            with pytest.raises(ConnectionEnded, match="1001"):
                await orders.next()
            await closing


IN_PROCESS_AND_CONNECTED = pytest.mark.parametrize("is_connection", [False, True])


@contextlib.asynccontextmanager
async def subscriber(client: TestClient, is_connection: bool) -> AsyncIterator[Any]:
    """Return what subscribes: the client, or a connection of it."""
    if not is_connection:
        yield client
        return
    async with client.connect() as connection:
        yield connection


@IN_PROCESS_AND_CONNECTED
async def test_a_subscription_that_is_not_entered(is_connection):
    async with TestClient(SubscriptionManager([order])) as client:
        async with subscriber(client, is_connection) as subscribing:
            orders = subscribing.subscribe(DOCUMENT)
            for read in (orders.next, orders.rest, orders.assert_none, orders.__anext__):
                with pytest.raises(RuntimeError, match="the subscription is not entered: use it"):
                    await read()


@IN_PROCESS_AND_CONNECTED
async def test_what_waits_ends_when_the_subscription_is_left(is_connection):
    async with TestClient(SubscriptionManager([order])) as client:
        async with subscriber(client, is_connection) as subscribing:
            async with subscribing.subscribe(DOCUMENT) as orders:
                waiting = [asyncio.ensure_future(orders.next(timeout=600)) for _ in range(2)]
                await asyncio.sleep(0)
            _, late = await asyncio.wait(waiting, timeout=60)
            assert not late and all(one.cancelled() or one.exception() for one in waiting)


@IN_PROCESS_AND_CONNECTED
async def test_a_subscription_is_entered_once(is_connection):
    async with TestClient(SubscriptionManager([order])) as client:
        async with subscriber(client, is_connection) as subscribing:
            orders = subscribing.subscribe(DOCUMENT)
            async with orders:
                pass
            with pytest.raises(RuntimeError, match="is entered once: call `subscribe` again"):
                async with orders:
                    pass


@IN_PROCESS_AND_CONNECTED
async def test_the_rest_comes_after_the_manager_has_closed(is_connection):
    async with TestClient(SubscriptionManager([order])) as client:
        async with subscriber(client, is_connection) as subscribing:
            async with subscribing.subscribe(DOCUMENT) as orders:
                await client.publish("orders", PAID)
                await client.close()
                assert [each.data for each in await orders.rest()] == [
                    {"order": {"status": "PAID"}}
                ]


@IN_PROCESS_AND_CONNECTED
async def test_variables_are_converted_to_json(is_connection):
    @subscription(channel="echo")
    async def echo(event: Event, id: str, at: str) -> str:
        return f"{id} {at}"

    document = "subscription ($id: String!, $at: String!) { echo(id: $id, at: $at) }"
    variables = {"id": uuid.UUID(int=1), "at": datetime.date(2026, 1, 2)}
    async with TestClient(SubscriptionManager([echo])) as client:
        async with subscriber(client, is_connection) as subscribing:
            async with subscribing.subscribe(document, variables) as echoes:
                await client.publish("echo", None)
                data = await echoes.next()
    assert data == {"echo": "00000000-0000-0000-0000-000000000001 2026-01-02"}


async def test_what_a_connection_sends_is_converted_to_json():
    manager = SubscriptionManager([user], security=Security(authenticate=authenticate))
    something = {"user": uuid.UUID(int=1), "at": datetime.date(2026, 1, 2)}
    async with TestClient(manager, context="c") as client:
        async with client.connect(payload=something) as connection:
            subscribing = connection.subscribe("subscription { user }", extensions=something)
            async with subscribing as users:
                await client.publish("orders", PAID)
                assert await users.next() == {"user": f"{uuid.UUID(int=1)} c False"}
            with pytest.raises(PublishError, match="data"):
                async with connection.subscribe("subscription { user }", {"no": object()}):
                    raise AssertionError("a subscription without a JSON form is entered")


async def test_arguments_of_a_connection_are_checked():
    async with TestClient(SubscriptionManager([order])) as client:
        number: Any = 5
        with pytest.raises(TypeError, match=r"^headers: the value of 'x-user' is 5: write a str$"):
            client.connect(headers={"x-user": number})
        words: Any = ["x"]
        with pytest.raises(TypeError, match=r"^payload: \['x'\] is no mapping: write a dict$"):
            client.connect(payload=words)


async def test_a_subscription_is_not_executed():
    async with TestClient(SubscriptionManager([order]), timeout=0.05) as client:
        with pytest.raises(
            AssertionError, match=r"in 0\.05 s; a subscription is run by `subscribe`$"
        ):
            await client.execute(DOCUMENT)


async def test_headers_of_a_connection_replace_those_of_the_client_in_any_case():
    seen = []

    async def note(params: ConnectionParams) -> Identity:
        seen.append(params.headers["authorization"])
        return Identity("ada")

    manager = SubscriptionManager([order], security=Security(authenticate=note))
    async with TestClient(manager, headers={"Authorization": "one", "x-a": "b"}) as client:
        for headers in (None, {"authorization": "two"}, {"AUTHORIZATION": "three"}):
            async with client.connect(headers=headers):
                pass
    assert seen == ["one", "two", "three"]


async def test_a_fault_of_the_server_side_is_raised():
    async with TestClient(SubscriptionManager([order]), timeout=60) as client:
        wrong: Any = {"x": 5}
        with pytest.raises(TypeError):
            async with client.connect(headers=wrong):
                pass


async def test_a_close_after_a_ping_is_heard():
    async with TestClient(SubscriptionManager([order])) as client:
        async with client.connect() as connection, connection.subscribe(DOCUMENT) as orders:
            await connection._socket.send_json({"type": "ping"})
            await connection._socket.close(1001, "going away")
            with pytest.raises(ConnectionEnded, match="going away"):
                await orders.next()
            assert (await connection.wait_closed()).code == 1001


async def test_a_connection_that_is_not_entered():
    async with TestClient(SubscriptionManager([order])) as client:
        connection = client.connect()
        await connection.aclose()
        with pytest.raises(RuntimeError, match="not entered"):
            await connection.wait_closed()
        with pytest.raises(RuntimeError, match="not entered"):
            async with connection.subscribe(DOCUMENT):
                pass
        async with connection:
            await connection.subscribe(DOCUMENT).aclose()
            async with connection.subscribe(DOCUMENT) as orders:
                await client.publish("orders", PAID)
                assert await orders.next() == {"order": {"status": "PAID"}}


def test_the_end_without_async():
    with SyncTestClient(SubscriptionManager([order])) as client:
        with client.subscribe(DOCUMENT) as ended, client.subscribe(DOCUMENT) as orders:
            ended.close()
            receipts = client.publish_many([("orders", PAID), ("orders", PAID)])
            assert [receipt.offset for receipt in receipts] == [1, 2]
            client.close()
            assert [each.data for each in orders.rest()] == [{"order": {"status": "PAID"}}] * 2


def test_a_client_without_async_is_entered_once():
    with SyncTestClient(SubscriptionManager([order])) as client:
        with pytest.raises(RuntimeError, match="entered already"):
            with client:
                pass
        assert client.publish("orders", PAID).offset == 1


def test_without_async():
    with SyncTestClient(SubscriptionManager([order, user]), identity=Identity("ada")) as client:
        with client.subscribe(DOCUMENT) as orders:
            assert client.publish("orders", PAID).offset == 1
            assert orders.next() == {"order": {"status": "PAID"}}
            orders.assert_none()
            client.publish("orders", {"id": 13, "status": ""})
            assert orders.next_errors()[0]["message"] == "unlucky"
        with client.subscribe("subscription { user }", context="two") as users:
            client.publish("orders", PAID)
            assert users.next_result().data == {"user": "ada two True"}
        assert client.execute("{ __typename }").data == {"__typename": "Query"}
    with pytest.raises(RuntimeError, match="not entered"):
        client.publish("orders", PAID)
