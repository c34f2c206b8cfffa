"""The guides about publishers: an event of a task, a job or a script reaches a client."""

from __future__ import annotations

import json

from guide import Guide
from support.redis_server import RedisServer


async def test_a_task_of_celery_publishes(tmp_path):
    async with RedisServer(tmp_path) as redis:
        guide = Guide("publishers/celery.md", tmp_path)
        guide.environment["REDIS"] = redis.url
        async with (
            guide.running("fraiseql-subs serve", "8000"),
            guide.running("celery") as worker,
            guide.reading("fraiseql-subs subscribe") as client,
        ):
            await guide.subscribed("8000")
            await guide.run("python -c")
            assert json.loads(await client.line())["data"] == {"orders": "7 is paid"}
            worker.terminate()
            assert await worker.wait() == 0
