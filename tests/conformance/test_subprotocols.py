"""Subprotocol negotiation in the WebSocket handshake, on every server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from application import Application
from support.protocol_client import ProtocolClient
from support.servers import SERVERS


@pytest.fixture(params=SERVERS)
async def connect(request) -> AsyncIterator[Callable[[list[str]], Awaitable[Any]]]:
    """Connect with these subprotocols."""
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(SERVERS[request.param](Application({}).manager))

        async def connect(offered: list[str]) -> ProtocolClient:
            client = await ProtocolClient.connect(url, subprotocols=offered)
            stack.push_async_callback(client.close)
            return client

        yield connect


@pytest.mark.parametrize("offered", [[], ["chat", "soap"]], ids=["none", "unknown"])
async def test_without_a_known_subprotocol_the_handshake_completes_and_closes_4406(
    offered, connect
):
    client = await connect(offered)
    assert client.socket.subprotocol is None
    await client.expect_close(4406, "Subprotocol not acceptable")


async def test_the_first_known_subprotocol_is_echoed(connect):
    for offered, picked in [
        (["graphql-transport-ws"], "graphql-transport-ws"),
        (["chat", "graphql-transport-ws"], "graphql-transport-ws"),
        (["graphql-transport-ws", "soap"], "graphql-transport-ws"),
        (["graphql-transport-ws", "graphql-ws"], "graphql-transport-ws"),
        (["graphql-ws", "graphql-transport-ws"], "graphql-ws"),
        (["chat", "graphql-ws"], "graphql-ws"),
    ]:
        client = await connect(offered)
        assert client.socket.subprotocol == picked
        await client.init()


@pytest.mark.parametrize("server", SERVERS)
async def test_a_client_that_uses_the_same_ids_again_meets_no_state_of_its_old_socket(server):
    application = Application({})
    async with SERVERS[server](application.manager) as url:
        first, again = [await ProtocolClient.connect(url) for _ in range(2)]
        await first.init()
        await first.subscribe("subscription { greetings }", id="1")
        first.socket.transport.abort()
        await again.init()
        await again.subscribe("subscription { greetings }", id="1")
        await application.manager.publish("greetings", "x")
        assert await again.receive_data("1") == {"greetings": "x"}
        await again.settle()
        assert not again.has_received
        await again.close()
