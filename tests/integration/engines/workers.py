"""Servers with two worker processes, run as users run them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO

from nodes import PATHS
from support import PATIENCE, eventually, log_file
from support.protocol_client import ProtocolClient
from support.redis_server import free_port

ATTEMPTS = 5
"""How often a port is tried that another program may have taken."""

EMBEDDED = (sys.executable, "-c", "import worker_app; worker_app.serve({port})")

GUNICORN = ("gunicorn", "-k", "uvicorn_worker.UvicornWorker", "-w", "2", "-b", "127.0.0.1:{port}")

COMMANDS: dict[str, list[tuple[str, ...]]] = {
    "embedded": [EMBEDDED, EMBEDDED],
    "uvicorn": [("uvicorn", "--workers", "2", "--port", "{port}", "--ws", "websockets-sansio")],
    "gunicorn": [GUNICORN],
    "gunicorn preloaded": [(*GUNICORN, "--preload")],
    "hypercorn": [("hypercorn", "--workers", "2", "--bind", "127.0.0.1:{port}")],
    "granian": [("granian", "--workers", "2", "--port", "{port}", "--interface", "asgi")],
}
"""The commands: one for all processes, or one for each."""


class Workers:
    """A server with two workers; `async with Workers.run("uvicorn", redis.url) as workers`."""

    def __init__(self, port: int, processes: list[Process], log: IO[str]) -> None:
        self.url = f"ws://127.0.0.1:{port}/graphql"
        self.http_url = f"http://127.0.0.1:{port}/graphql"
        self._processes = processes
        self._log = log

    @classmethod
    @contextlib.asynccontextmanager
    async def run(cls, name: str, bus: str) -> AsyncIterator[Workers]:
        for _ in range(ATTEMPTS):
            port, log = free_port(), log_file()
            processes = [await _start(command, bus, port, log) for command in COMMANDS[name]]
            workers = cls(port, processes, log)
            try:
                await eventually(workers._is_decided, f"{name} answers or ends")
                if workers.is_running:
                    yield workers
                    await workers._end()
                    return
            finally:
                workers._kill()
                text = workers.log
                log.close()
        raise AssertionError(f"{name} does not start: {text}")

    @property
    def is_running(self) -> bool:
        return all(process.returncode is None for process in self._processes)

    @property
    def log(self) -> str:
        self._log.seek(0)
        return self._log.read()

    async def _is_decided(self) -> bool:
        if not self.is_running:
            return True
        client = await ProtocolClient.connect(self.url)
        await client.close()
        return True

    async def _end(self) -> None:
        for process in self._processes:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
        for process in self._processes:
            await asyncio.wait_for(process.wait(), PATIENCE)

    def _kill(self) -> None:
        """End the server and its workers, which are in its process group."""
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    async def connect(self, unlike: int | None = None) -> tuple[ProtocolClient, int]:
        """Connect a client to any worker, or to any but one; return that worker's process."""

        async def try_once() -> tuple[ProtocolClient, int] | None:
            client = await ProtocolClient.connect(self.url)
            await client.init()
            id = await client.subscribe("subscription { worker }")
            process = (await client.receive_data(id))["worker"]
            await client.complete(id)
            if process != unlike:
                return client, process
            await client.close()
            return None

        return await eventually(try_once, "a client is served by another worker")


async def _start(command: tuple[str, ...], bus: str, port: int, log: IO[str]) -> Process:
    words = [word.format(port=port) for word in command]
    if words[0] != sys.executable:
        words = [str(Path(sys.executable).with_name(words[0])), *words[1:], "worker_app:app"]
    return await asyncio.create_subprocess_exec(
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env={**os.environ, "PYTHONPATH": PATHS, "BUS": bus},
        start_new_session=True,
    )
