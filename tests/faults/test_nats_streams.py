"""The stream of JetStream is deleted, created again, or emptied (N4)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from promises import check
from support.nats_server import NatsServer
from support.waiting import PATIENCE

pytestmark = pytest.mark.faults


@pytest.fixture
async def nats(tmp_path) -> AsyncIterator[NatsServer]:
    async with NatsServer(tmp_path) as server:
        yield server


async def ask(nats: NatsServer, subject: str) -> dict[str, object]:
    """Send a request to JetStream, and return its answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", nats.port)
    try:
        writer.write(b'CONNECT {"verbose": false}\r\nSUB answer 1\r\n')
        writer.write(f"PUB $JS.API.{subject} answer 0\r\n\r\n".encode())
        while True:
            line = await asyncio.wait_for(reader.readline(), PATIENCE)
            assert line, "the connection has ended"
            if line.startswith(b"PING"):
                writer.write(b"PONG\r\n")
            if line.startswith(b"MSG"):
                answer: dict[str, object] = json.loads(await reader.readline())
                return answer
    finally:
        writer.close()


async def test_the_stream_is_deleted_and_nodes_create_it_again(nats, deploy):
    """N4."""
    deployment = await deploy(nats, url="nats://127.0.0.1:{port}", publish_timeout=20.0)
    async with deployment.traffic() as traffic:
        await traffic.accepts()
        assert (await ask(nats, "STREAM.DELETE.fs1"))["success"]
        await traffic.accepts()
    await deployment.settle()
    assert "config" in await ask(nats, "STREAM.INFO.fs1")
    check(deployment)


async def test_the_stream_is_emptied_and_live_events_go_on(nats, deploy):
    """N4."""
    deployment = await deploy(nats, url="nats://127.0.0.1:{port}", publish_timeout=20.0)
    async with deployment.traffic() as traffic:
        await traffic.accepts()
        assert (await ask(nats, "STREAM.PURGE.fs1"))["success"]
        await traffic.accepts()
    await deployment.settle()
    check(deployment)


async def test_an_event_is_published_again_after_links_were_cut(nats, deploy):
    """N7, inside the window: one event."""
    deployment = await deploy(nats, url="nats://127.0.0.1:{port}", publish_timeout=20.0)
    async with deployment.traffic() as traffic:
        for _ in range(5):
            deployment.publisher_proxy.cut()
            await traffic.accepts(1)
    await deployment.settle()
    check(deployment, nothing_missed=True)
    state = (await ask(nats, "STREAM.INFO.fs1"))["state"]
    assert isinstance(state, dict) and state["consumer_count"] == 0  # N5
