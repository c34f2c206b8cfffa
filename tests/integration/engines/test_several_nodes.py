"""The programs of examples/several_nodes, with a private Redis."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator

import httpx
import pytest
from support import PATIENCE, eventually
from support.paths import ROOT
from support.programs import finish, read_line
from support.redis_server import RedisServer, free_port

EXAMPLE = ROOT / "examples/several_nodes"
QUERY = {"query": "subscription { orderUpdated { id status } }"}


@pytest.fixture
async def redis(tmp_path) -> AsyncIterator[RedisServer]:
    async with RedisServer(tmp_path) as server:
        yield server


@contextlib.asynccontextmanager
async def started(*command: str, **variables: str) -> AsyncIterator[Process]:
    """Run a program with environment variables; it is ended with all its processes."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    process = await asyncio.create_subprocess_exec(
        *command, cwd=EXAMPLE, env=environment, stdout=PIPE, stderr=PIPE, start_new_session=True
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.communicate()


@contextlib.asynccontextmanager
async def node(redis: RedisServer) -> AsyncIterator[tuple[Process, str]]:
    async with started(sys.executable, "node.py", BUS=redis.url, PORT="0") as process:
        yield process, (await read_line(process)).removeprefix("serving ")


def worker(redis: RedisServer):
    return started(sys.executable, "worker.py", BUS=redis.url, INTERVAL="0.01")


async def events(url: str, count: int, after: str | None = None) -> dict[str, dict]:
    """Receive some events with data: by id, in their order."""
    headers = {"accept": "text/event-stream"} | ({"last-event-id": after} if after else {})
    found: dict[str, dict] = {}
    async with httpx.AsyncClient(timeout=PATIENCE) as client:
        async with client.stream("POST", url, json=QUERY, headers=headers) as response:
            last = ""
            async for line in response.aiter_lines():
                if line.startswith("id:"):
                    last = line.removeprefix("id:").strip()
                elif line.startswith("data: {"):
                    data = json.loads(line.removeprefix("data: "))["data"]
                    if data is None:
                        continue  # The client was told that events are missing.
                    found[last] = data["orderUpdated"]
                    if len(found) == count:
                        break
    return found


def offset(event: str) -> int:
    return int(event.rpartition("-")[2])


async def test_both_nodes_have_what_the_worker_publishes_under_the_same_ids(redis):
    async with node(redis) as (_, one), node(redis) as (_, other):
        receiving = asyncio.gather(events(one, 50), events(other, 50))
        async with worker(redis):
            at_one, at_other = await receiving
    shared = at_one.keys() & at_other.keys()
    assert shared and all(at_one[event] == at_other[event] for event in shared)
    for received in (at_one, at_other):
        offsets = [offset(event) for event in received]
        assert offsets == list(range(offsets[0], offsets[0] + 50))


async def test_a_client_of_a_node_that_ends_goes_on_at_the_other(redis):
    async with node(redis) as (first, one), node(redis) as (_, other), worker(redis):
        last = list(await events(one, 3))[-1]
        first.send_signal(signal.SIGTERM)
        assert (await finish(first))[0] == 0
        again = await events(other, 20, after=last)
        assert [offset(event) for event in again] == [offset(last) + n for n in range(1, 21)]


async def test_the_worker_goes_on_when_redis_was_away(redis):
    async with node(redis) as (_, url), worker(redis) as publishing:
        await events(url, 1)
        await redis.kill()
        while "not published yet" not in (said := await read_line(publishing)):
            assert said.startswith("published ")
        await redis.start()
        while not (said := await read_line(publishing)).startswith("published "):
            assert "not published yet" in said
        assert await events(url, 1)


async def test_they_end_without_an_error(redis):
    async with node(redis) as (serving, _), worker(redis) as publishing:
        await read_line(publishing)
        for process in (serving, publishing):
            process.send_signal(signal.SIGTERM)
            code, _, err = await finish(process)
            assert (code, err) == (0, "")


async def test_nginx_leads_to_the_nodes(redis, tmp_path):
    program = shutil.which("nginx")
    assert program, "nginx is not installed: apt-get install nginx-light"
    port = free_port()
    async with node(redis) as (_, one), node(redis) as (_, other), worker(redis):
        settings = (EXAMPLE / "nginx.conf").read_text()
        for name, url in (("node-1:8000", one), ("node-2:8000", other)):
            (place,) = re.findall(r"//([^/]+)/", url)
            assert name in settings
            settings = settings.replace(name, place)
        settings = settings.replace("listen 8080;", f"listen 127.0.0.1:{port};")
        (tmp_path / "nginx.conf").write_text(settings)
        command = [program, "-e", "stderr", "-p", str(tmp_path), "-c", "nginx.conf"]
        async with started(*command, "-g", "daemon off;"):
            url = f"http://127.0.0.1:{port}/graphql"
            received = await eventually(lambda: events(url, 2), "nginx passes events on")
            assert len(received) == 2


def test_compose_names_what_is_there():
    text = "".join((EXAMPLE / name).read_text() for name in ("compose.yaml", "Dockerfile"))
    named = set(re.findall(r"\b[\w-]+\.(?:py|conf)\b", text))
    assert named == {"shop.py", "node.py", "worker.py", "nginx.conf"}
    assert all((EXAMPLE / name).exists() for name in named)
    services = set(re.findall(r"^  ([\w-]+):", text, re.MULTILINE))
    upstream = set(re.findall(r"server ([\w-]+):8000;", (EXAMPLE / "nginx.conf").read_text()))
    assert upstream and upstream <= services
