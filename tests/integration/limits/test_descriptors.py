"""File descriptors: one for each client, and behaviour when they are exhausted."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import httpx
import pytest
from support import PATIENCE, eventually
from support.certificates import Credentials
from support.server_process import ServerProcess, manager

pytestmark = pytest.mark.attack

SUBSCRIBE = {"query": "subscription { ticks }"}
EVENTS = {"accept": "text/event-stream"}


async def subscribe(stack: AsyncExitStack, url: str, client: httpx.AsyncClient) -> httpx.Response:
    response = await stack.enter_async_context(
        client.stream("POST", url, json=SUBSCRIBE, headers=EVENTS)
    )
    assert response.status_code == 200
    return response


@pytest.mark.parametrize("with_tls", [False, True], ids=["plain", "TLS"])
async def test_a_client_of_http_takes_one_descriptor(with_tls, tmp_path):
    tls = Credentials(tmp_path)
    options, scheme = (tls.option, "https") if with_tls else ("", "http")
    async with ServerProcess(manager(), options) as server, AsyncExitStack() as stack:
        url = f"{scheme}://127.0.0.1:{server.port}/graphql"
        clients = [
            await stack.enter_async_context(httpx.AsyncClient(verify=False, timeout=PATIENCE))
            for _ in range(20)
        ]
        before = server.descriptors
        for client in clients:
            await subscribe(stack, url, client)
        assert server.descriptors == before + 20


async def test_a_websocket_takes_one_descriptor(connect):
    async with ServerProcess(manager()) as server:
        before = server.descriptors
        for _ in range(20):
            await connect(server.url)
        assert server.descriptors == before + 20


async def test_without_free_descriptors_the_server_continues_and_recovers(connect):
    limits = "limits=Limits(request_timeout=600)"
    async with ServerProcess(manager(limits), descriptors=64) as server:
        assert await server.metric("descriptors_exhausted") == 0
        client = await connect(server.url)
        await client.subscribe("subscription { ticks }")
        more = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(100)]
        await eventually(lambda: "no file descriptor is left" in server.log, "it is said")
        # A client that is connected notices nothing.
        await server.publish()
        assert await client.receive_data() == {"ticks": "tick"}
        for _, writer in more:
            writer.transport.abort()
        await eventually(server.answers, "a further client is served")
        await eventually(lambda: "file descriptors are available again" in server.log, "it is said")
        assert await server.metric("descriptors_exhausted") == 1
        # The listener has tried more often than once.
        assert server.log.count("no file descriptor is left") == 1
        assert "Too many open files" not in server.log
        await server.publish()
        assert await client.receive_data() == {"ticks": "tick"}
