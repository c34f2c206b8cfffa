"""The memory of the server after its slow clients have disconnected: ADR 0062."""

from __future__ import annotations

import platform
import sys
from contextlib import AsyncExitStack

import pytest
from support import eventually
from support.raw_websocket import RawWebSocket
from support.server_process import ServerProcess

CLIENTS = 12

PEAKS = 10

PEAK = 60.0
"""Minimum memory of each peak (MiB): most of 12 times 8,000 results of 900 bytes."""

REST = 30.0
"""Memory that may remain (MiB): buffers and threads that the server keeps for the next peak."""

MANAGER = """
class Publisher(SubscriptionManager):
    async def publish(self, channel, data):
        for number in range(8_000):
            await super().publish(channel, f"{number} " + "x" * 900)

manager = Publisher(
    [passthrough("ticks", str, channel="ticks")],
    workers=1,
    history=None,
    limits=Limits(max_pending_bytes=16 * 1024 * 1024, connection_init_timeout=600),
)
"""


@pytest.mark.skipif(
    sys.platform != "linux" or platform.libc_ver()[0] != "glibc",
    reason="the allocator is that of the system elsewhere",
)
async def test_memory_of_peaks_returns_to_the_system():
    async with ServerProcess(MANAGER) as server:
        before, url = server.memory, server.url
        for _ in range(PEAKS):
            async with AsyncExitStack() as stack:
                for number in range(CLIENTS):
                    client = await stack.enter_async_context(RawWebSocket.connect(url))
                    # With an alias its results are not shared with other clients.
                    await client.subscribe(f"subscription {{ tick{number}: ticks }}")
                await eventually(
                    lambda: subscriptions(server, CLIENTS), "every client has subscribed"
                )
                await server.publish()
                await eventually(lambda: server.memory > before + PEAK, "results are pending")
            await eventually(lambda: subscriptions(server, 0), "every client has left")
        await eventually(lambda: server.memory < before + REST, "memory returns to the system")


async def subscriptions(server: ServerProcess, expected: int) -> bool:
    return await server.metric("subscriptions") == expected
