"""The command `fraiseql-subs subscribe` connects again, and loses no event that is still kept."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
from support import eventually
from support.subscribing_command import subscribe, subscribing
from websockets.asyncio.server import serve as serve_websockets

from fraiseql_subs import History, SubscriptionManager, passthrough

ORDERS = "subscription { orders }"


def orders(**options) -> SubscriptionManager:
    return SubscriptionManager([passthrough("orders", int, channel="orders")], workers=1, **options)


async def subscribed(manager: SubscriptionManager) -> None:
    await eventually(lambda: manager.metrics().subscriptions == 1, "the command has subscribed")


def url_of(server, protocol: str) -> str:
    return server.http_url if protocol in ("sse", "multipart") else server.url


@pytest.mark.parametrize("protocol", ["graphql-transport-ws", "graphql-ws", "sse", "multipart"])
async def test_events_of_the_time_between_are_received(stack, protocol):
    async with orders() as manager:
        async with manager.serve(port=0, drain=0.0) as server:
            url, port = url_of(server, protocol), server.port
            command = await stack.enter_async_context(
                subscribing(url, ORDERS, "--protocol", protocol, "--count", "4")
            )
            await subscribed(manager)
            await manager.publish("orders", 1)
            assert await command.data() == 1
        await command.says("reconnecting in")
        for number in (2, 3):
            await manager.publish("orders", number)
        async with manager.serve(port=port, drain=0.0):
            assert await command.data() == 2
            assert await command.data() == 3
            await command.says("resumed")
            await manager.publish("orders", 4)
            assert await command.data() == 4
            status, out, said = await command.ends()
            assert (status, out) == (0, "") and "missed" not in said


async def test_a_subscription_that_had_no_event_misses_none(stack):
    async with orders() as manager:
        async with manager.serve(port=0, drain=0.0) as server:
            command = await stack.enter_async_context(
                subscribing(server.url, ORDERS, "--count", "1")
            )
            await subscribed(manager)
        await command.says("reconnecting in")
        await manager.publish("orders", 1)
        async with manager.serve(port=server.port, drain=0.0):
            assert await command.data() == 1
            assert (await command.ends())[0] == 0


async def test_what_is_no_longer_kept_is_missed(stack):
    async with orders(history=History(events=1)) as manager:
        async with manager.serve(port=0, drain=0.0) as server:
            command = await stack.enter_async_context(
                subscribing(server.url, ORDERS, "--count", "2")
            )
            await subscribed(manager)
            await manager.publish("orders", 1)
            assert await command.data() == 1
        await command.says("reconnecting in")
        for number in (2, 3):
            await manager.publish("orders", number)
        async with manager.serve(port=server.port, drain=0.0):
            # A program that reads the lines is told as well; it is no result.
            notice = await command.result()
            assert notice["data"] is None and notice["extensions"]["resume"]["missed"] is True
            await command.says("missed: ")
            await manager.publish("orders", 4)
            assert await command.data() == 4
            assert (await command.ends())[0] == 0


async def test_without_a_history_it_says_that_events_may_be_lost(stack):
    async with orders(history=None) as manager:
        async with manager.serve(port=0, drain=0.0) as server:
            command = await stack.enter_async_context(
                subscribing(server.url, ORDERS, "--count", "1")
            )
            await subscribed(manager)
        await command.says("reconnecting in")
        async with manager.serve(port=server.port, drain=0.0):
            await command.says("events in between are lost")
            await subscribed(manager)
            await manager.publish("orders", 1)
            assert await command.data() == 1
            assert (await command.ends())[0] == 0


async def test_another_run_begins_after_an_id(serve):
    manager = orders()
    server = await serve(manager)
    async with subscribing(server.url, ORDERS) as command:
        await subscribed(manager)
        await manager.publish("orders", 1)
        id = (await command.result())["extensions"]["resume"]["id"]
    await manager.publish("orders", 2)
    status, out, said = await subscribe(server.url, ORDERS, "--after", id, "--count", "1")
    assert (status, json.loads(out)["data"]) == (0, {"orders": 2}) and "resumed\n" in said
    status, out, said = await subscribe(
        server.url, ORDERS, "--after", id, "--no-reconnect", "--count", "1"
    )
    assert (status, json.loads(out)["data"]) == (0, {"orders": 2})


@pytest.mark.parametrize("protocol", ["graphql-transport-ws", "sse", "multipart"])
async def test_it_ends_with_the_connection_if_it_is_told_to(stack, protocol):
    async with orders() as manager:
        async with manager.serve(port=0, drain=0.0) as server:
            url = url_of(server, protocol)
            command = await stack.enter_async_context(
                subscribing(url, ORDERS, "--protocol", protocol, "--no-reconnect")
            )
            await subscribed(manager)
            await manager.publish("orders", 1)
            # It asks for no ids.
            assert await command.result() == {"data": {"orders": 1}}
        status, out, said = await command.ends()
        assert (status, out) == (1, "") and "Error: " in said and "reconnecting" not in said


async def test_a_close_that_is_final_ends_it(serve):
    manager = orders()
    server = await serve(manager)
    async with subscribing(server.url, ORDERS) as command:
        await subscribed(manager)
        (connection,) = manager.connections()
        await manager.disconnect(connection_id=connection.connection_id)
        status, _, said = await command.ends()
    assert status == 1 and "reconnecting" not in said
    assert "4403 Forbidden: if it asks for a token, pass --token" in said


@asynccontextmanager
async def broken_server():
    """Serve graphql-transport-ws, and break each connection when it has an operation.

    Yields the URL and the operations.
    """
    operations = []

    async def handle(socket):
        async for text in socket:
            message = json.loads(text)
            if message["type"] == "connection_init":
                await socket.send('{"type": "ping", "payload": {"a": 1}}')
                await socket.send('{"type": "connection_ack"}')
            elif message["type"] == "pong":
                assert message["payload"] == {"a": 1}
            else:
                operations.append(message["payload"])
                socket.transport.abort()

    options = {"subprotocols": ["graphql-transport-ws"]}
    async with serve_websockets(handle, "127.0.0.1", 0, **options) as server:
        port = server.sockets[0].getsockname()[1]
        yield f"ws://127.0.0.1:{port}/graphql", operations


async def test_only_subscriptions_are_sent_again():
    async with broken_server() as (url, operations):
        document = 'mutation { pay(note: "subscription { a }") } # subscription { a }'
        status, out, said = await subscribe(url, document)
        assert (status, out) == (1, "") and "the operation may have run" in said
        assert operations == [{"query": document}]
        both = "subscription A { a } mutation B { b }"
        assert (await subscribe(url, both, "--operation", "B"))[0] == 1
        assert len(operations) == 2
        async with subscribing(url, both, "--operation", "A"):
            await eventually(lambda: len(operations) == 5, "it is sent again and again")
        assert operations[-1] == {
            "query": both,
            "operationName": "A",
            "extensions": {"resume": {}},
        }


async def test_a_server_that_sends_no_ids_cannot_resume():
    results = asyncio.Queue()

    async def handle(socket):
        async for text in socket:
            message = json.loads(text)
            if message["type"] == "connection_init":
                await socket.send('{"type": "connection_ack"}')
            else:
                payload = await results.get()
                await socket.send(json.dumps({"type": "next", "id": "1", "payload": payload}))
                await socket.close(1012)

    options = {"subprotocols": ["graphql-transport-ws"]}
    async with serve_websockets(handle, "127.0.0.1", 0, **options) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/graphql"
        async with subscribing(url, ORDERS, "--count", "3") as command:
            results.put_nowait({"data": {"orders": 1}})
            assert await command.data() == 1
            await command.says("events in between are lost")
            results.put_nowait({"data": {"orders": 2}, "extensions": {"resume": {"id": "a-1"}}})
            assert await command.data() == 2
            await command.says("resuming")
            results.put_nowait({"data": {"orders": 3}})
            assert await command.data() == 3
            await command.says("not resumed")
            assert (await command.ends())[0] == 0
