"""Programs under each server that are asked to end: readiness first, then one client at a time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal

import httpx
import pytest
from restarted import Application, ended
from support import PATIENCE, eventually
from support.protocol_client import ProtocolClient
from websockets.exceptions import ConnectionClosed

MANAGER = """
from fraiseql_subs import Drain, SubscriptionManager, passthrough

manager = SubscriptionManager([passthrough("feed", int, channel="feed")])
"""

APPLICATION = """
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from fraiseql_subs.adapters.starlette import create_subscription_app

async def ready(request):
    return PlainTextResponse("", 200 if manager.is_ready() else 503)

drain = Drain(3600, ready_delay={delay}, closes_per_second=0.001)
subscriptions = create_subscription_app(manager, drain=drain)
app = Starlette(routes=[Route("/health/ready", ready), Mount("/graphql", subscriptions)])
"""

SERVE = (
    "python -m fraiseql_subs serve app:manager --port {{port}} --path /graphql/"
    " --drain 3600 --ready-delay {delay} --closes-per-second 0.001"
)

COMMANDS = {
    "uvicorn": "uvicorn app:app --port {port} --log-level warning",
    "hypercorn": "hypercorn app:app --bind 127.0.0.1:{port} --workers 0",
    "granian": "granian app:app --interface asgi --port {port} --log-level warning",
}

NAMES = ["serve", *COMMANDS]

NO_WAY_BACK = (1001, 1012)
"""Close codes after which clients reconnect: ours, and that of uvicorn."""


def send_again(process: asyncio.subprocess.Process) -> None:
    """Send a second signal, to all processes like a terminal: granian does not hand it on."""
    os.killpg(process.pid, signal.SIGTERM)


def application(name: str, folder, delay: float) -> Application:
    if name == "serve":
        return Application(name, folder, (MANAGER, SERVE.format(delay=delay)))
    code = MANAGER + APPLICATION.format(delay=delay)
    return Application(name, folder, (code, COMMANDS[name]))


async def connected(stack: contextlib.AsyncExitStack, url: str) -> ProtocolClient:
    client = await ProtocolClient.connect(url.replace("http", "ws"))
    stack.push_async_callback(client.close)
    await client.init()
    await client.subscribe("subscription { feed }")
    return client


async def closed(client: ProtocolClient) -> int | None:
    with pytest.raises(ConnectionClosed):
        while True:
            # Keepalive.
            assert b'"ping"' in await client.socket.recv(decode=False)
    return client.socket.close_code


@pytest.mark.parametrize("name", NAMES)
async def test_readiness_turns_before_the_drain_begins(name, tmp_path):
    program = application(name, tmp_path, 3600)
    async with contextlib.AsyncExitStack() as stack:
        process = await stack.enter_async_context(program.run())
        clients = [await connected(stack, program.url)]
        process.send_signal(signal.SIGTERM)
        async with httpx.AsyncClient(timeout=PATIENCE) as probe:
            page = program.url.replace("/graphql/", "/health/ready")

            async def is_unready() -> bool:
                return (await probe.get(page)).status_code == 503

            await eventually(is_unready, "clients are sent elsewhere")
        clients.append(await connected(stack, program.url))
        send_again(process)
        for client in clients:
            assert await asyncio.wait_for(closed(client), PATIENCE) in NO_WAY_BACK
        status, err = await ended(process)
        assert "Traceback" not in err, err
        assert status in (0, -signal.SIGTERM), err


@pytest.mark.parametrize("name", NAMES)
async def test_clients_are_closed_one_after_the_other_until_a_second_signal(name, tmp_path):
    program = application(name, tmp_path, 0)
    async with contextlib.AsyncExitStack() as stack:
        process = await stack.enter_async_context(program.run())
        clients = [await connected(stack, program.url) for _ in range(4)]
        closes = [asyncio.ensure_future(closed(client)) for client in clients]
        process.send_signal(signal.SIGTERM)
        first, staying = await asyncio.wait(
            closes, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED
        )
        assert [one.result() for one in first] == [1001]
        assert len(staying) == 3
        send_again(process)
        await asyncio.wait(staying, timeout=PATIENCE)
        assert all(one.result() in NO_WAY_BACK for one in staying)
        status, err = await ended(process)
        assert status in (0, -signal.SIGTERM), err


async def test_workers_of_hypercorn_do_not_wait_for_readiness(tmp_path):
    """They stop accepting and cancel connections by their own clock."""
    command = "hypercorn app:app --bind 127.0.0.1:{port} --graceful-timeout 1"
    code = MANAGER + APPLICATION.format(delay=3600)
    program = Application("hypercorn", tmp_path, (code, command))
    async with contextlib.AsyncExitStack() as stack:
        process = await stack.enter_async_context(program.run())
        client = await connected(stack, program.url)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(closed(client), PATIENCE) == 1001
        status, err = await ended(process)
        assert status in (0, -signal.SIGTERM), err
