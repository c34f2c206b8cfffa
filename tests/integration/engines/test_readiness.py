"""Health pages while Redis is away: they stay ready unless the application wants otherwise."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from declared import node
from support import eventually
from support.urls import http_url


async def statuses(url: str) -> dict[str, Any]:
    base = http_url(url).removesuffix("/graphql")
    paths = ["/health", "/health/ready", "/health/ready?bus", "/health?bus=1", "/health/live?bus"]
    async with httpx.AsyncClient(base_url=base) as client:
        return {path: (await client.get(path)).status_code for path in paths}


async def test_health_stays_ready_while_redis_is_away_and_says_so_when_asked(redis, serve, connect):
    manager = node(redis.url)
    server = await serve(manager)
    client = await connect(server.url)
    await eventually(lambda: manager.is_ready(bus=True), "Redis is there")
    assert set((await statuses(server.url)).values()) == {200}
    await redis.kill()
    await eventually(lambda: not manager.is_ready(bus=True), "Redis is away")
    assert await statuses(server.url) == {
        "/health": 200,
        "/health/ready": 200,
        "/health/ready?bus": 503,
        "/health?bus=1": 503,
        "/health/live?bus": 200,
    }
    base = http_url(server.url).removesuffix("/graphql")
    async with httpx.AsyncClient(base_url=base) as probe:
        response = await probe.get("/health/ready?bus")
    assert response.json() == {"status": "bus away"}
    assert manager.is_ready()
    await client.settle()
    await connect(server.url)
    await redis.start()
    await eventually(lambda: manager.is_ready(bus=True), "Redis is back")
    assert set((await statuses(server.url)).values()) == {200}


async def test_a_redis_that_hangs_is_away_as_well(redis, serve):
    manager = node(redis.url)
    server = await serve(manager)
    await eventually(lambda: manager.is_ready(bus=True), "Redis is there")
    redis.pause()
    try:
        await eventually(lambda: not manager.is_ready(bus=True), "it is noticed")
        assert (await statuses(server.url))["/health/ready?bus"] == 503
    finally:
        redis.resume()
    await eventually(lambda: manager.is_ready(bus=True), "Redis goes on")


async def test_unready_after_makes_it_unready_and_closes_nobody(redis, serve, connect):
    manager = node(redis.url, unready_after=0.3)
    server = await serve(manager)
    client = await connect(server.url)
    await eventually(lambda: manager.is_ready(bus=True), "Redis is there")
    await redis.kill()
    await eventually(lambda: not manager.is_ready(), "it is away for long enough")
    assert (await statuses(server.url))["/health/ready"] == 503
    assert (await statuses(server.url))["/health/live?bus"] == 200
    await client.settle()
    await connect(server.url)
    await redis.start()
    await eventually(manager.is_ready, "Redis is back")
    assert (await statuses(server.url))["/health/ready"] == 200


async def test_a_long_unready_after_does_not_count_yet(redis):
    manager = node(redis.url, unready_after=3600)
    async with manager:
        await redis.kill()
        await eventually(lambda: not manager.is_ready(bus=True), "Redis is away")
        assert manager.is_ready()


async def test_a_redis_that_was_never_there_counts_from_the_start(redis):
    await redis.kill()
    async with node(redis.url, unready_after=0.2) as manager:
        assert not manager.is_ready(bus=True)
        await eventually(lambda: not manager.is_ready(), "it was away for long enough")


@pytest.mark.parametrize("bus", [True, False])
async def test_without_an_engine_only_a_drain_counts(bus, serve):
    manager = node("memory://", unready_after=0)
    assert not manager.is_ready(bus=bus), "it is not started"
    server = await serve(manager)
    assert manager.is_ready(bus=bus)
    assert set((await statuses(server.url)).values()) == {200}
    await manager.close(drain=0.0)
    assert not manager.is_ready(bus=bus)
