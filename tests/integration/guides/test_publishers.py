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


async def test_a_script_publishes_and_says_if_it_could_not(tmp_path):
    async with RedisServer(tmp_path) as redis:
        guide = Guide("publishers/cron.md", tmp_path, {"6379": str(redis.port)})
        async with (
            guide.running("fraiseql-subs serve", "8000"),
            guide.reading("fraiseql-subs subscribe") as client,
        ):
            await guide.subscribed("8000")
            await guide.run("python report.py")
            assert "is ready" in json.loads(await client.line())["data"]["reports"]
            await guide.run("fraiseql-subs publish")
            assert json.loads(await client.line())["data"] == {"reports": "the backup is done"}
        await redis.kill()
        assert "not published: " in await guide.run("python report.py", status=1)
