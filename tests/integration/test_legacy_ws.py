"""The older subprotocol `graphql-ws`, message by message."""

from __future__ import annotations

import asyncio

import pytest

from fraiseql_subs import Identity, Limits, Security, SubscriptionManager, passthrough

feed = passthrough("feed", int, channel="feed")
other = passthrough("other", int, channel="other")

ACKNOWLEDGED = [{"type": "connection_ack"}, {"type": "ka"}]


@pytest.fixture
async def legacy(serve, connect):
    """Connect with the older subprotocol; gives manager and client."""

    async def open_client(*, init: bool = True, **options):
        manager = SubscriptionManager([feed, other], **options)
        server = await serve(manager)
        client = await connect(server.url, init=False, subprotocols=["graphql-ws"])
        assert client.socket.subprotocol == "graphql-ws"
        if init:
            await client.send({"type": "connection_init", "payload": {}})
            assert [await client.receive(), await client.receive()] == ACKNOWLEDGED
        return manager, client

    return open_client


def start(id: str, query: str) -> dict:
    return {"type": "start", "id": id, "payload": {"query": query}}


async def started(manager, count: int) -> None:
    while manager.metrics().subscriptions != count:
        await asyncio.sleep(0)


async def test_events_are_data_messages(legacy):
    manager, client = await legacy()
    await client.send(start("1", "subscription { feed }"))
    await started(manager, 1)
    await manager.publish("feed", 7)
    data = {"type": "data", "id": "1", "payload": {"data": {"feed": 7}}}
    assert await client.receive() == data
    await client.send({"type": "stop", "id": "1"})
    await started(manager, 0)


async def test_signs_of_life_go_on(legacy):
    _, client = await legacy(limits=Limits(keepalive=0.05))
    assert [await client.receive() for _ in range(3)] == [{"type": "ka"}] * 3


async def test_a_start_that_comes_before_the_acknowledgement_waits_for_it(legacy):
    decided = asyncio.Event()

    async def authenticate(params):
        await decided.wait()
        return Identity("ada")

    _, client = await legacy(init=False, security=Security(authenticate=authenticate))
    await client.send({"type": "connection_init"})
    await client.send(start("1", "{ __typename }"))
    decided.set()
    assert [await client.receive(), await client.receive()] == ACKNOWLEDGED
    answer = {"type": "data", "id": "1", "payload": {"data": {"__typename": "Query"}}}
    assert await client.receive() == answer
    assert await client.receive() == {"type": "complete", "id": "1"}


async def test_a_client_that_is_refused_is_told_so(legacy):
    async def authenticate(params):
        return None

    _, client = await legacy(init=False, security=Security(authenticate=authenticate))
    await client.send({"type": "connection_init"})
    refused = {"type": "connection_error", "payload": {"message": "Forbidden"}}
    assert await client.receive() == refused
    await client.expect_close(4403, "Forbidden")


async def test_an_error_is_one_object_and_ends_the_operation(legacy):
    _, client = await legacy()
    await client.send(start("1", "subscription { nothing }"))
    error = await client.receive()
    assert (error["type"], error["id"]) == ("error", "1")
    assert "nothing" in error["payload"]["message"]


async def test_a_start_with_a_used_id_ends_the_old_operation(legacy):
    manager, client = await legacy()
    await client.send(start("1", "subscription { feed }"))
    await client.send(start("1", "subscription { other }"))
    # What marks that both were taken: an answer to a third.
    await client.send(start("2", "{ __typename }"))
    assert [(await client.receive())["type"] for _ in range(2)] == ["data", "complete"]
    await manager.publish("feed", 1)
    await manager.publish("other", 2)
    assert (await client.receive())["payload"] == {"data": {"other": 2}}
    await started(manager, 1)


async def test_a_message_that_is_none_is_answered_and_the_connection_stays(legacy):
    _, client = await legacy()
    await client.send("nonsense")
    assert (await client.receive())["type"] == "error"
    await client.send(start("1", "{ __typename }"))
    assert (await client.receive())["type"] == "data"


async def test_a_start_without_connection_init_is_unauthorized(legacy):
    _, client = await legacy(init=False)
    await client.send(start("1", "{ __typename }"))
    await client.expect_close(4401, "Unauthorized")


async def test_connection_terminate_closes(legacy):
    _, client = await legacy()
    await client.send({"type": "connection_terminate"})
    await client.expect_close(1000)
