"""The time in which a server did not run does not count for the keepalive.

A stopped process stands for a frozen container and a stalled machine; behind an adapter a blocked
event loop is the same.
"""

from __future__ import annotations

import asyncio
import signal
from asyncio.subprocess import Process

import pytest
from support import eventually, program
from support.protocol_client import ProtocolClient

pytestmark = pytest.mark.attack

KEEPALIVE = 1.0
PAUSE = 4 * KEEPALIVE

PROGRAM = """
import asyncio, socket, sys, time
from fraiseql_subs import Limits, SubscriptionManager, passthrough
from fraiseql_subs.adapters.asgi import GraphQLApp

feed = passthrough("feed", int, channel="feed")
limits = Limits(keepalive=1.0, connection_init_timeout=1.0)
manager = SubscriptionManager([feed], limits=limits)

async def obey():
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        word, number = line.split()
        if word == "block":
            time.sleep(float(number))
            print("done", flush=True)
        else:
            await manager.publish("feed", int(number))

async def embedded():
    async with manager.serve(port=0, drain=0.0) as server:
        print(server.url, flush=True)
        await obey()

async def adapter():
    import uvicorn

    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(GraphQLApp(manager), log_level="error", ws="websockets-sansio")
    server = uvicorn.Server(config)
    async with manager:
        serving = asyncio.ensure_future(server.serve([listener]))
        print(f"ws://127.0.0.1:{listener.getsockname()[1]}/graphql", flush=True)
        await obey()
        server.should_exit = server.force_exit = True
        await serving

asyncio.run({"embedded": embedded, "adapter": adapter}[sys.argv[1]]())
"""


async def pause(process: Process) -> None:
    process.send_signal(signal.SIGSTOP)
    await asyncio.sleep(PAUSE)
    process.send_signal(signal.SIGCONT)


async def block(process: Process) -> None:
    process.stdin.write(f"block {PAUSE}\n".encode())
    assert await process.stdout.readline() == b"done\n"


@pytest.mark.parametrize(
    ("kind", "hold_up"),
    [("embedded", pause), ("adapter", pause), ("adapter", block)],
    ids=["stopped", "stopped-behind-uvicorn", "blocked-behind-uvicorn"],
)
async def test_clients_outlive_a_pause_of_the_server(kind, hold_up, connect):
    async with program(PROGRAM, kind) as (process, url):
        clients = [await connect(url) for _ in range(10)]
        for client in clients:
            await client.subscribe("subscription { feed }")
        seen: list[list[int]] = [[] for _ in clients]
        following = [
            asyncio.ensure_future(follow(*pair)) for pair in zip(clients, seen, strict=True)
        ]
        await hold_up(process)
        # A second pause soon after, then the time in which a dead client is disconnected.
        await hold_up(process)
        for number in range(4):
            process.stdin.write(f"publish {number}\n".encode())
            await asyncio.sleep(KEEPALIVE)
        everything = [list(range(4))] * len(clients)
        await eventually(
            lambda: seen == everything or any(task.done() for task in following),
            "every client has every event",
        )
        for task in following:
            task.cancel()
        assert seen == everything


async def follow(client: ProtocolClient, seen: list[int]) -> None:
    """Answer pings and record the messages."""
    while True:
        message = await client.receive()
        if message["type"] == "ping":
            await client.send({"type": "pong"})
        else:
            seen.append(message["payload"]["data"]["feed"])


@pytest.mark.parametrize("kind", ["embedded", "adapter"])
async def test_a_pause_is_no_part_of_the_time_for_connection_init(kind, connect):
    async with program(PROGRAM, kind) as (process, url):
        client = await connect(url, init=False)
        await client.settle()
        process.send_signal(signal.SIGSTOP)
        await client.send({"type": "connection_init"})
        await asyncio.sleep(PAUSE)
        process.send_signal(signal.SIGCONT)
        assert await client.receive() == {"type": "connection_ack"}
