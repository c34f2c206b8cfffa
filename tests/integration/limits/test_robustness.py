"""Misbehaving clients of every kind leave nothing behind and do not affect other clients."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest
from support import eventually
from support.progress import clients_left
from support.protocol_client import ProtocolClient
from support.raw_http import handshake
from support.raw_websocket import message
from support.servers import SERVERS
from support.urls import address_of

from fraiseql_subs import Limits, SubscriptionManager, passthrough, subscription

pytestmark = pytest.mark.attack

CLIENTS = 2_000
GARBAGE = 1_000
AT_ONCE = 50
"""Clients that are connected at the same time."""

feed = passthrough("feed", int, channel="feed")


class Ledger:
    """Generators and calls that have started and not ended."""

    def __init__(self) -> None:
        self.open = 0
        self.begun = 0

    @contextlib.contextmanager
    def entry(self) -> Any:
        self.open += 1
        self.begun += 1
        try:
            yield
        finally:
            self.open -= 1

    def declare(self) -> list[Any]:
        @subscription
        async def stream() -> AsyncIterator[int]:
            with self.entry():
                for number in range(1_000_000):
                    yield number
                    await asyncio.sleep(0.001)

        @subscription(channel="calls")
        async def calls(event) -> int:
            with self.entry():
                await asyncio.sleep(0.001)
                return event.data

        return [stream, calls]


async def gone(manager: SubscriptionManager, ledger: Ledger) -> None:
    """Return when all resources of clients are freed."""

    def left() -> list[Any]:
        metrics = manager.metrics()
        return [metrics.connections, metrics.subscriptions, ledger.open, len(manager.connections())]

    await eventually(lambda: not any(left()), "nothing is left of any client")


# Subprotocol, and its types of messages that start and end an operation.
VOCABULARIES = [("graphql-transport-ws", "subscribe", "complete"), ("graphql-ws", "start", "stop")]


def by_http(path: str, accept: str, query: str) -> bytes:
    body = json.dumps({"query": query}).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\naccept: {accept}\r\n"
    head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def stages(chance: random.Random) -> list[bytes]:
    """The messages of one client, in steps; it may disconnect after each."""
    if chance.random() < 0.3:
        accept = chance.choice(["text/event-stream", "multipart/mixed", "application/json"])
        query = chance.choice(["subscription { stream }", "{ __typename }"])
        request = by_http("/graphql", accept, query)
        cut = chance.randrange(len(request))
        return [request[:cut], request[cut:]]
    subprotocol, begin, end = chance.choice(VOCABULARIES)
    steps = [handshake(host="x", subprotocol=subprotocol), message({"type": "connection_init"})]
    for number in range(chance.randrange(4)):
        query = f"subscription {{ {chance.choice(['stream', 'calls', 'feed'])} }}"
        steps.append(message({"id": str(number), "type": begin, "payload": {"query": query}}))
    if chance.random() < 0.3:
        steps.append(message({"id": "0", "type": end}))
    return steps


async def reserve(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, chance: random.Random
) -> None:
    """Reserve an event stream, and make some of its steps."""
    writer.write(b"PUT /graphql HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n")
    if chance.random() < 0.3:
        return
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 201"):
        # It serves only WebSockets.
        return
    token = (await reader.readexactly(32)).decode()
    if chance.random() < 0.7:
        query = chance.choice(["subscription { stream }", "subscription { feed }"])
        body = json.dumps({"query": query, "extensions": {"operationId": "1"}})
        writer.write(
            f"POST /graphql?token={token} HTTP/1.1\r\nhost: x\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()
        )
        await reader.readuntil(b"\r\n\r\n")
    if chance.random() < 0.7:
        writer.write(f"GET /graphql?token={token} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        await reader.read(1000)


async def come_and_go(address: tuple[str, int], chance: random.Random) -> None:
    reader, writer = await asyncio.open_connection(*address)
    try:
        if chance.random() < 0.1:
            return await reserve(reader, writer, chance)
        steps = stages(chance)
        for step in steps[: chance.randrange(len(steps)) + 1]:
            writer.write(step)
            await writer.drain()
            if chance.random() < 0.7:
                # The server has answered, or it does not.
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(reader.read(1000), chance.random() * 0.01)
    except (OSError, EOFError):
        pass
    finally:
        if chance.random() < 0.5:
            writer.transport.abort()
        writer.close()


async def at_once(count: int, client: Any) -> None:
    places = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        async with places:
            await client(number)

    await asyncio.gather(*(one(number) for number in range(count)))


def adapter_tasks() -> int:
    """Tasks of the adapters (count); servers may have others."""
    codes = (task.get_coro().cr_code.co_filename for task in asyncio.all_tasks())
    return sum("/fraiseql_subs/adapters/" in code for code in codes)


@pytest.mark.parametrize("name", SERVERS)
async def test_clients_that_come_and_go_in_random_states_leave_nothing(name):
    ledger = Ledger()
    limits = Limits(connection_init_timeout=2.0)
    manager = SubscriptionManager([feed, *ledger.declare()], limits=limits)
    async with SERVERS[name](manager) as url:
        address = address_of(url)

        async def client(number: int) -> None:
            if number % 10 == 0:
                await manager.publish("calls", number)
                await manager.publish("feed", number)
            await come_and_go(address, random.Random(number))

        await at_once(CLIENTS, client)
        await gone(manager, ledger)
        assert ledger.begun > CLIENTS // 20
        await eventually(lambda: not adapter_tasks(), "no task of an adapter is left")
        # It still serves.
        healthy = await ProtocolClient.connect(url)
        await healthy.init()
        await healthy.close()


def garbage(chance: random.Random) -> list[bytes]:
    """Bytes that no client would send."""
    noise = chance.randbytes(chance.randrange(1, 2000))
    upgraded = handshake(host="x")
    return chance.choice(
        [
            [noise],
            [upgraded, noise],
            [upgraded, message({"type": "connection_init"}), noise],
            [upgraded, b"\x81\xff" + struct.pack("!Q", 1 << 62) + os.urandom(100)],
            [b"POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999\r\n\r\n", noise],
            [b"POST /graphql HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"],
            [b"GET /graphql?token=" + b"a" * 5000 + b" HTTP/1.1\r\nhost: x\r\n\r\n"],
            [by_http("/graphql", "text/event-stream", "{" * 300)],
        ]
    )


async def test_garbage_beside_a_healthy_subscriber_costs_it_nothing(serve):
    manager = SubscriptionManager([feed], limits=Limits(connection_init_timeout=2.0))
    server = await serve(manager)
    healthy = await ProtocolClient.connect(server.url)
    await healthy.init()
    await healthy.subscribe("subscription { feed }")

    async def client(number: int) -> None:
        chance = random.Random(number)
        reader, writer = await asyncio.open_connection(server.host, server.port)
        with contextlib.suppress(OSError, asyncio.TimeoutError):
            for part in garbage(chance):
                writer.write(part)
                await writer.drain()
            await manager.publish("feed", number)
            await asyncio.wait_for(reader.read(100), 0.01)
        writer.close()

    received = asyncio.ensure_future(receive(healthy, GARBAGE))
    await at_once(GARBAGE, client)
    assert sorted(await received) == list(range(GARBAGE))
    await clients_left(manager, 1)
    await healthy.close()


async def receive(client: ProtocolClient, count: int) -> list[int]:
    return [(await client.receive_data())["feed"] for _ in range(count)]
