"""Applications that are restarted, written and run as the documentation shows."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from support import PATIENCE, eventually
from support.paths import ROOT

MANAGER = """
import asyncio, contextlib, os
import graphql
from fraiseql_subs import SubscriptionManager, passthrough

SDL = "type Query { slow: Int } type Subscription { process: Int }"
schema = graphql.build_schema(SDL)

async def slow(*_):
    print("asked", flush=True)
    await asyncio.sleep(0.5)
    return os.getpid()

schema.query_type.fields["slow"].resolve = slow
process = passthrough("process", channel="process")
manager = SubscriptionManager([process], schema=schema)

async def publish():
    while True:
        await manager.publish("process", os.getpid())
        await asyncio.sleep(0.02)

@contextlib.asynccontextmanager
async def lifespan(app):
    async with manager:
        publishing = asyncio.create_task(publish())
        yield
        publishing.cancel()
"""

STARLETTE = """
from starlette.applications import Starlette
from starlette.routing import Mount
from fraiseql_subs.adapters.starlette import create_subscription_app

app = Starlette(routes=[Mount("/graphql", create_subscription_app(manager))], lifespan=lifespan)
"""

FASTAPI = """
from fastapi import FastAPI
from fraiseql_subs.adapters.fastapi import SubscriptionRouterFactory

app = FastAPI(lifespan=lifespan)
app.include_router(SubscriptionRouterFactory(manager).create_router(path="/graphql/"))
"""

AIOHTTP = """
import sys
from aiohttp import web
from custom_server import create_app

async def begin(app):
    app["publishing"] = asyncio.create_task(publish())

async def end(app):
    app["publishing"].cancel()

app = create_app(manager, path="/graphql/")
app.on_startup.append(begin)
app.on_shutdown.append(end)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
"""

RUN = """
import sys
manager.run(port=int(sys.argv[1]), path="/graphql/", main=publish)
"""

UVICORN = "uvicorn app:app --port {port} --log-level warning"

PROGRAMS = {
    "run": (RUN, "python app.py {port}"),
    "uvicorn": (STARLETTE, UVICORN),
    "uvicorn-fastapi": (FASTAPI, UVICORN),
    "uvicorn-workers": (STARLETTE, UVICORN + " --workers 2"),
    "hypercorn": (STARLETTE, "hypercorn app:app --bind 127.0.0.1:{port}"),
    "hypercorn-alone": (STARLETTE, "hypercorn app:app --bind 127.0.0.1:{port} --workers 0"),
    "granian": (STARLETTE, "granian app:app --interface asgi --port {port} --log-level warning"),
    "aiohttp": (AIOHTTP, "python app.py {port}"),
}
"""The code after the manager, and the command that runs it."""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Application:
    """A program in a folder, on one port, run once or again.

    Args:
        name: One of `PROGRAMS`.
        folder: Where it is written.
        program: Its code and its command; None: those of `PROGRAMS`.
    """

    def __init__(self, name: str, folder: Path, program: tuple[str, str] | None = None) -> None:
        code, command = PROGRAMS[name] if program is None else program
        self.folder = folder
        self.port = free_port()
        (folder / "app.py").write_text(code if program else MANAGER + code)
        binaries = Path(sys.executable).parent
        self._command = f"exec {binaries}/{command.format(port=self.port)}"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/graphql/"

    @asynccontextmanager
    async def run(self) -> AsyncIterator[Process]:
        """Run it until it listens; kills its remaining processes at the end."""
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT}/examples:{self.folder}"}
        process = await asyncio.create_subprocess_shell(
            self._command,
            cwd=self.folder,
            env=environment,
            stdout=PIPE,
            stderr=PIPE,
            start_new_session=True,
        )
        try:
            await eventually(lambda: self._listens(process), "it listens")
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            # Reads to the end, so that its pipes are closed.
            await process.communicate()

    async def _listens(self, process: Process) -> bool:
        if process.returncode is not None:
            pytest.fail((await process.communicate())[1].decode())
        _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.close()
        return True


async def terminated(process: Process) -> tuple[int, str]:
    """Send SIGTERM; returns the exit status and the text on standard error."""
    process.send_signal(signal.SIGTERM)
    return await ended(process)


async def ended(process: Process) -> tuple[int, str]:
    """Wait for the end of a process; returns the exit status and the text on standard error."""
    _, err = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode is not None
    return process.returncode, err.decode()
