"""The guide about gunicorn: workers share events, and drain at each end."""

from __future__ import annotations

import json
import signal

from guide import Guide
from support.protocol_client import ProtocolClient
from support.redis_server import RedisServer


async def test_workers_of_gunicorn_share_events_and_drain(tmp_path):
    async with RedisServer(tmp_path) as redis:
        guide = Guide("servers/gunicorn.md", tmp_path, {"6379": str(redis.port)})
        url = f"ws://127.0.0.1:{guide.ports['8000']}/graphql"
        async with guide.running("gunicorn", "8000") as gunicorn:
            async with guide.reading("fraiseql-subs subscribe") as client:
                line = await client.line_after("fraiseql-subs publish")
                assert json.loads(line)["data"] == {"orders": "paid"}
                first = await connected(url)
                gunicorn.send_signal(signal.SIGHUP)
                await first.expect_close(1001)
                # It comes back by itself, to one of the new workers.
                line = await client.line_after("fraiseql-subs publish")
                assert json.loads(line)["data"] == {"orders": "paid"}
            second = await connected(url)
            gunicorn.terminate()
            await second.expect_close(1001)
            assert await gunicorn.wait() == 0


async def connected(url: str) -> ProtocolClient:
    client = await ProtocolClient.connect(url)
    await client.init()
    await client.subscribe("subscription { orders }")
    return client
