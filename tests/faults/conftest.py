"""Rows of the fault table: what is broken, and what is promised all the same.

`make faults` runs all of them with many clients; the suite runs the quick ones with few.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from deployment import ALL_ROWS, Deployment
from support.redis_server import RedisServer
from support.tcp_proxy import TcpProxy
from takeover import Pair, follow

StartRedis: TypeAlias = Callable[..., Awaitable[RedisServer]]
StartPair: TypeAlias = Callable[..., Awaitable[Pair]]
Deploy: TypeAlias = Callable[..., Awaitable[Deployment]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("slow_fault") and not ALL_ROWS:
            item.add_marker(pytest.mark.skip(reason="takes long: run `make faults`"))


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """Close what a test has opened, the newest first."""
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
def start_redis(stack: AsyncExitStack, tmp_path: Path) -> Iterator[StartRedis]:
    """Start a server of the test's own, with these of its settings."""
    count = 0

    async def start(environment: dict[str, str] | None = None, **options: str) -> RedisServer:
        nonlocal count
        count += 1
        directory = tmp_path / f"redis-{count}"
        directory.mkdir()
        names = {name.replace("_", "-"): value for name, value in options.items()}
        return await stack.enter_async_context(RedisServer(directory, names, environment))

    yield start


@pytest.fixture
async def redis(start_redis: StartRedis) -> RedisServer:
    """A server that keeps nothing on its disk."""
    return await start_redis()


@pytest.fixture
def start_pair(start_redis: StartRedis, stack: AsyncExitStack) -> StartPair:
    """Start a master and its replica, with these of their settings."""

    async def start(**options: str) -> Pair:
        options = {"repl_diskless_sync_delay": "0", **options}
        master = await start_redis(**options)
        between = await stack.enter_async_context(TcpProxy(master.port))
        replica = await start_redis(**options)
        await follow(replica, between.port)
        return Pair(master, between, replica)

    return start


@pytest.fixture
def deploy(stack: AsyncExitStack) -> Deploy:
    """Start nodes, their clients and a publisher: `deployment = await deploy(redis)`."""

    async def start(redis: RedisServer, **options: Any) -> Deployment:
        return await stack.enter_async_context(Deployment(redis.port, **options))

    return start
