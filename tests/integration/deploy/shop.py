"""The engine, the database and the nodes of compose.yaml, as private servers and processes."""

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
from pathlib import Path
from typing import IO, Any

import httpx
import psutil
from files import DOCKER, copies, document, environment, exec_form, of_image
from support import PATIENCE, eventually, log_file
from support.paths import ROOT
from support.postgres_server import PostgresServer
from support.redis_server import RedisServer, free_port

COMPOSE = document(DOCKER / "compose.yaml")

SEARCH_PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
"""Has `python` and `fraiseql-subs`, as that of the image."""


class Shop:
    """What the nodes need; `async with Shop.open(tmp_path) as shop`."""

    def __init__(self, folder: Path, redis: RedisServer, postgres: PostgresServer) -> None:
        self.folder = folder
        self.redis = redis
        self.postgres = postgres

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, folder: Path) -> AsyncIterator[Shop]:
        """Start both servers, and make the database as compose does."""
        async with RedisServer(folder) as redis, PostgresServer() as postgres:
            shop = cls(folder, redis, postgres)
            await postgres.sql("CREATE DATABASE shop")
            await shop.finish("psql", *shop.placed("postgresql://postgres@postgres/shop", *SCRIPT))
            await shop.finish(*COMPOSE["services"]["prepare"]["command"], service="prepare")
            yield shop

    def placed(self, *texts: str) -> list[str]:
        """Return texts of compose.yaml with the addresses of the private servers."""
        postgres = rf"postgresql://\1@127.0.0.1:{self.postgres.port}/"
        found = [re.sub(r"postgresql://(\w+)(?::\w+)?@postgres/", postgres, text) for text in texts]
        return [text.replace("redis://redis:6379", self.redis.url) for text in found]

    def variables(self, service: str, **more: str) -> dict[str, str]:
        """Return the variables of a service, and no others but those that find the package."""
        given = COMPOSE["services"][service].get("environment", {})
        own = dict(zip(given, self.placed(*given.values()), strict=True))
        found = {"PATH": SEARCH_PATH, "PYTHONPATH": str(ROOT), "HOME": "/"}
        return {**found, **environment(), **own, **more}

    async def finish(self, *command: str, service: str = "node", **variables: str) -> str:
        """Run a command to its end, which has to be a success; return what it prints."""
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=DOCKER,
            env=self.variables(service, **variables),
            stdout=PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            output, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.communicate()
        assert process.returncode == 0, output.decode()
        return output.decode()

    def node(self, *before: str, **variables: str) -> contextlib.AbstractAsyncContextManager[Node]:
        """Run the command of the image on a free port.

        Args:
            before: A command that runs it.
            variables: More variables.
        """
        return Node.run(self, before, {"FRAISEQL_SUBS_PORT": str(free_port()), **variables})


SCRIPT = ("-X", "--quiet", "-v", "ON_ERROR_STOP=1", "--file=app/orders.sql")


class Node:
    """A node that serves; `async with shop.node() as node`."""

    def __init__(self, process: Process, variables: dict[str, str], log: IO[str]) -> None:
        self.process = process
        self.variables = variables
        self._log = log

    @classmethod
    @contextlib.asynccontextmanager
    async def run(
        cls, shop: Shop, before: tuple[str, ...], variables: dict[str, str]
    ) -> AsyncIterator[Node]:
        folder = shop.folder / "app"
        folder.mkdir(exist_ok=True)
        for sources, _ in copies("shop"):
            for source in sources:
                shutil.copy(ROOT / source, folder)
        variables = shop.variables("node", **variables)
        with log_file() as log:
            process = await asyncio.create_subprocess_exec(
                *(*before, *exec_form(of_image("CMD"))),
                cwd=folder,
                env=variables,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            node = cls(process, variables, log)
            try:
                await eventually(node.serves_or_has_ended, "the node serves")
                assert process.returncode is None, node.log
                yield node
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.communicate()

    @property
    def log(self) -> str:
        self._log.seek(0)
        return self._log.read()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.variables['FRAISEQL_SUBS_PORT']}"

    async def serves_or_has_ended(self) -> bool:
        return self.process.returncode is not None or await self.status("/health/ready") == 200

    async def status(self, path: str, host: str = "10.1.2.3:8000") -> int:
        """Return the status of a request, as probes make it: by the address of the pod."""
        async with httpx.AsyncClient(timeout=PATIENCE) as client:
            return (await client.get(self.url + path, headers={"host": host})).status_code

    async def health(self, **variables: str) -> tuple[int, str]:
        """Run the health check of the image; return its status and what it prints."""
        places = {f"{to}": ROOT / source for (source,), to in copies("runtime")}
        command = [str(places.get(word, word)) for word in exec_form(of_image("HEALTHCHECK"))]
        assert command != exec_form(of_image("HEALTHCHECK"))
        process = await asyncio.create_subprocess_exec(
            *command, env={**self.variables, **variables}, stdout=PIPE, stderr=PIPE
        )
        out, err = await asyncio.wait_for(process.communicate(), PATIENCE)
        assert err == b""
        assert process.returncode is not None
        return process.returncode, out.decode()

    async def orders(self, count: int) -> list[dict[str, Any]]:
        """Receive some orders as events, from now on."""
        request = {"query": "subscription { orders { id item paid } }"}
        headers = {"accept": "text/event-stream"}
        found: list[dict[str, Any]] = []
        async with (
            httpx.AsyncClient(timeout=PATIENCE) as client,
            client.stream("POST", f"{self.url}/graphql", json=request, headers=headers) as stream,
        ):
            async for line in stream.aiter_lines():
                if line.startswith("data: {"):
                    data = json.loads(line.removeprefix("data: "))["data"]
                    found += [data["orders"]] if data else []
                    if len(found) == count:
                        break
        return found

    def main_process(self) -> psutil.Process:
        """Return the process of the command itself, below what runs it."""
        process = psutil.Process(self.process.pid)
        while children := process.children():
            (process,) = children
        return process
