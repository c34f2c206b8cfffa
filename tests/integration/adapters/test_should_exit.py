"""uvicorn ends by `should_exit`: event streams do not delay its end."""

from __future__ import annotations

import subprocess
import sys
import textwrap

from support import PATIENCE
from support.programs import ENVIRONMENT

PROGRAM = """
import asyncio
import httpx, uvicorn
from support import eventually
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from fraiseql_subs import *
from fraiseql_subs.adapters.asgi import GraphQLApp

manager = SubscriptionManager([passthrough("feed", int, channel="feed")])
config = uvicorn.Config(GraphQLApp(manager), port=0, log_level="error", ws="websockets-sansio")
server = uvicorn.Server(config)

async def read_stream(url):
    query, events = {"query": "subscription { feed }"}, {"accept": "text/event-stream"}
    async with httpx.AsyncClient(timeout=60) as http:
        async with http.stream("POST", url, json=query, headers=events) as response:
            text = "".join([part async for part in response.aiter_text()])
    print("stream ended", "complete" in text, flush=True)

async def read_socket(url):
    async with connect(
        url, subprotocols=["graphql-transport-ws"], open_timeout=None
    ) as socket:
        await socket.send('{"type":"connection_init"}')
        try:
            while True:
                await socket.recv()
        except ConnectionClosed as closed:
            print("closed", closed.rcvd.code, flush=True)

async def main():
    serving = asyncio.create_task(server.serve())
    await eventually(lambda: server.started, "uvicorn has started")
    port = server.servers[0].sockets[0].getsockname()[1]
    clients = [
        asyncio.create_task(read_stream(f"http://127.0.0.1:{port}/")),
        asyncio.create_task(read_socket(f"ws://127.0.0.1:{port}/")),
    ]
    await eventually(lambda: manager.metrics().connections == 2, "both are connected")
    await eventually(lambda: manager.metrics().subscriptions, "the stream is subscribed")
    server.should_exit = True
    await serving
    await asyncio.gather(*clients)
    print("ended", flush=True)

asyncio.run(main())
"""


def test_event_streams_end_with_it():
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM)],
        capture_output=True,
        text=True,
        timeout=3 * PATIENCE,
        env=ENVIRONMENT,
    )
    lines = ended.stdout.splitlines()
    assert ended.returncode == 0, ended.stderr
    # Without `complete`, so that the client reconnects.
    assert "stream ended False" in lines
    assert lines[-1] == "ended"
    assert any(line.startswith("closed 10") for line in lines), lines
