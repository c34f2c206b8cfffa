"""Many subscribers: each receives every event once and in order; managers are independent."""

from __future__ import annotations

import asyncio
import json
import resource
from collections.abc import Iterator

import pytest
from support import PATIENCE, eventually
from support.protocol_client import ProtocolClient

from fraiseql_subs import Limits, SubscriptionManager, passthrough, subscription

CONNECTIONS, SUBSCRIPTIONS, EVENTS = 1000, 10, 5

DOCUMENT = {"query": "subscription { numbers }"}

numbers = passthrough("numbers", int, channel="numbers")


@subscription(channel="numbers", name="numbers")
async def resolved_numbers(event) -> int:
    return event.data


@pytest.fixture
def many_files() -> Iterator[None]:
    """Allow three descriptors for each connection: one of the client, and two of the server."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 3 * CONNECTIONS + 200
    if soft != resource.RLIM_INFINITY and soft < needed:
        if hard != resource.RLIM_INFINITY and hard < needed:
            pytest.skip(f"{needed} open files are needed; the hard limit is {hard}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def open_subscriber(url: str) -> ProtocolClient:
    """Connect and start all subscriptions of one connection at once."""
    # Frames are read at once. Otherwise a full queue would delay the pings.
    client = await ProtocolClient.connect(
        url, open_timeout=PATIENCE, compression=None, max_queue=None
    )
    await client.init()
    for id in range(SUBSCRIPTIONS):
        await client.send({"id": str(id), "type": "subscribe", "payload": DOCUMENT})
    await client.settle()
    return client


async def received_by(client: ProtocolClient) -> dict[str, list[int]]:
    """Return what each subscription has received up to the answer to a ping."""
    received: dict[str, list[int]] = {str(id): [] for id in range(SUBSCRIPTIONS)}
    for _ in range(SUBSCRIPTIONS * EVENTS):
        text = await asyncio.wait_for(client.socket.recv(), PATIENCE)
        message = json.loads(text)
        assert message["type"] == "next", message
        received[message["id"]].append(message["payload"]["data"]["numbers"])
    await client.settle()
    assert not client.has_received, "more than what was published"
    return received


@pytest.mark.parametrize("field", [numbers, resolved_numbers], ids=["passthrough", "resolver"])
async def test_a_thousand_connections_with_ten_subscriptions_receive_each_event_once_in_order(
    field, many_files, serve, stack
):
    manager = SubscriptionManager([field], limits=Limits(connection_init_timeout=60.0))
    server = await serve(manager)
    clients: list[ProtocolClient] = []
    for _ in range(0, CONNECTIONS, 50):
        opened = await asyncio.gather(*(open_subscriber(server.url) for _ in range(50)))
        for client in opened:
            stack.push_async_callback(client.close)
        clients.extend(opened)
    metrics = manager.metrics()
    assert metrics.connections == CONNECTIONS
    assert metrics.subscriptions == CONNECTIONS * SUBSCRIPTIONS
    for number in range(EVENTS):
        await manager.publish("numbers", number)
    everything = {str(id): list(range(EVENTS)) for id in range(SUBSCRIPTIONS)}
    for client in clients:
        assert await received_by(client) == everything
    sent = CONNECTIONS * SUBSCRIPTIONS * EVENTS
    await eventually(lambda: manager.metrics().results_sent == sent, "all results are counted")


async def test_two_managers_in_one_process_do_not_see_each_others_events(
    serve, connect, stack, within
):
    managers = [SubscriptionManager([numbers]) for _ in range(2)]
    clients = [await connect((await serve(manager)).url) for manager in managers]
    ids = [await client.subscribe("subscription { numbers }") for client in clients]
    local = [
        await stack.enter_async_context(manager.subscribe("subscription { numbers }"))
        for manager in managers
    ]
    for index, manager in enumerate(managers):
        await manager.publish("numbers", index)
    for index, client in enumerate(clients):
        assert await client.receive_data(ids[index]) == {"numbers": index}
        assert (await within(anext(local[index]))).data == {"numbers": index}
        await client.settle()
        assert not client.has_received
    # One ends, and the other goes on.
    await managers[0].close(drain=0.0)
    await managers[1].publish("numbers", 7)
    assert await clients[1].receive_data(ids[1]) == {"numbers": 7}
    assert (await within(anext(local[1]))).data == {"numbers": 7}


async def test_a_thousand_subscriptions_in_process_receive_each_event_once_in_order():
    async with SubscriptionManager([resolved_numbers]) as manager:
        ready = asyncio.Semaphore(0)

        async def follow() -> list[int]:
            received: list[int] = []
            async with manager.subscribe("subscription { numbers }") as stream:
                ready.release()
                async for result in stream:
                    received.append(result.data["numbers"])
                    if received[-1] == EVENTS - 1:
                        return received
            raise AssertionError("the subscription ended early")

        followers = [asyncio.ensure_future(follow()) for _ in range(1000)]
        for _ in followers:
            await ready.acquire()
        for number in range(EVENTS):
            await manager.publish("numbers", number)
        for received in await asyncio.gather(*followers):
            assert received == list(range(EVENTS))
