"""A cancelled `close`: clients receive a close code for reconnecting, and the port is free."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from support.protocol_client import ProtocolClient
from websockets.exceptions import ConnectionClosed

from fraiseql_subs import SubscriptionManager, subscription


@subscription
async def ticks() -> AsyncIterator[int]:
    yield 1
    await asyncio.Event().wait()


@pytest.mark.parametrize("is_twice", [False, True])
async def test_clients_are_told_that_the_server_goes_away(connect, is_twice):
    manager = SubscriptionManager([ticks])
    async with manager, manager.serve(port=0) as server:
        client: ProtocolClient = await connect(server.url)
        await client.subscribe("subscription { ticks }")
        assert (await client.receive())["payload"] == {"data": {"ticks": 1}}
        closing = asyncio.ensure_future(manager.close(drain=600))
        await asyncio.sleep(0)
        closing.cancel()
        if is_twice:
            await asyncio.sleep(0)
            closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        with pytest.raises(ConnectionClosed) as closed:
            await client.receive()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001
    async with SubscriptionManager([ticks]).serve(port=server.port):
        pass
