"""The tutorial of PostgreSQL, block by block: a private server, uvicorn, and a list in Chromium."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from support import PATIENCE, eventually
from support.documents import blocks
from support.paths import ROOT, SCRIPTS
from support.postgres_server import PostgresServer
from support.redis_server import free_port

PAGE = ROOT / "docs/tutorials/subscriptions-on-your-postgresql.md"


class Tutorial:
    """The files and the commands of the page, for a private server."""

    def __init__(self, postgres: PostgresServer, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.commands: list[str] = []
        for block in blocks(PAGE):
            code = block.code.replace("127.0.0.1/", f"127.0.0.1:{postgres.port}/")
            code = code.replace("8000", str(self.port))
            if block.language == "console":
                self.commands += [line.removeprefix("$ ") for line in code.splitlines()]
            elif block.name:
                (folder / block.name).write_text(code)
        script = folder / "bin" / "fraiseql-subs"
        script.parent.mkdir()
        script.write_text(f'#!/bin/sh\nexec {sys.executable} -m fraiseql_subs "$@"\n')
        script.chmod(0o755)
        places = [script.parent, Path(sys.executable).parent, os.environ["PATH"]]
        path = os.pathsep.join(map(str, places))
        place = {"PGHOST": "127.0.0.1", "PGPORT": str(postgres.port), "PGUSER": "postgres"}
        self.environment = {**os.environ, **place, "PATH": path, "PYTHONPATH": str(ROOT)}

    async def run(self, begin: str) -> None:
        """Run the next command, which begins so."""
        command = self.commands.pop(0)
        assert command.startswith(begin), command
        await self.shell(command)

    async def shell(self, command: str) -> None:
        process = await self._start(command, asyncio.subprocess.PIPE)
        said, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
        assert process.returncode == 0, said.decode()

    async def _start(self, command: str, output: int | None) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *("bash", "-c", f"exec {command}"),
            cwd=self.folder,
            env=self.environment,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT if output else None,
        )

    async def _accepts(self) -> bool:
        _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.close()
        return True

    @contextlib.asynccontextmanager
    async def serving(self, command: str) -> AsyncIterator[None]:
        """Run a server until it accepts connections, and kill it at the end."""
        process = await self._start(command, None)
        try:
            await eventually(self._accepts, "the server accepts connections")
            yield
        finally:
            process.kill()
            await process.wait()


class Browser:
    """A page with a list."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def shows(self, *items: str) -> None:
        """Wait until the list has these items."""
        assert self.process.stdout is not None
        seen = None
        while seen != [*items]:
            line = await asyncio.wait_for(self.process.stdout.readline(), PATIENCE)
            assert line, f"the page has ended; it has shown {seen}"
            seen = json.loads(line)

    async def reload(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        await self.process.stdin.drain()


@contextlib.asynccontextmanager
async def browser(url: str) -> AsyncIterator[Browser]:
    node = shutil.which("node")
    assert node, "Node.js is missing: run `make test`, which installs it"
    pipe = asyncio.subprocess.PIPE
    script = str(SCRIPTS / "live_list.mjs")
    process = await asyncio.create_subprocess_exec(node, script, url, stdin=pipe, stdout=pipe)
    try:
        yield Browser(process)
    finally:
        process.kill()
        await process.communicate()


async def test_the_list_of_the_tutorial_follows_its_table(tmp_path):
    async with PostgresServer() as postgres:
        tutorial = Tutorial(postgres, tmp_path)
        await tutorial.run("createdb")
        await tutorial.run("psql")
        await tutorial.run("fraiseql-subs")
        uvicorn = tutorial.commands.pop(0)
        assert uvicorn.startswith("uvicorn"), uvicorn
        async with (
            tutorial.serving(uvicorn),
            browser(f"http://127.0.0.1:{tutorial.port}/") as page,
        ):
            await page.shows("tea")
            await tutorial.run("psql")
            await page.shows("tea", "coffee", "milk")
            await tutorial.run("psql")
            await page.shows("tea", "coffee, paid", "milk")
            await tutorial.run("psql")
            await page.shows("tea", "coffee, paid")
            assert tutorial.commands == []
            await page.reload()
            await page.shows("tea", "coffee, paid")
            await tutorial.shell("psql -q shop -c 'DELETE FROM orders WHERE id = 1'")
            await page.shows("coffee, paid")
            # A row whose key changes stays one row.
            await tutorial.shell("psql -q shop -c 'UPDATE orders SET id = DEFAULT'")
            await tutorial.shell("psql -q shop -c 'UPDATE orders SET paid = false'")
            await page.shows("coffee")


async def test_the_list_is_right_after_the_server_was_away(tmp_path):
    async with PostgresServer() as postgres:
        tutorial = Tutorial(postgres, tmp_path)
        for _ in range(3):
            await tutorial.shell(tutorial.commands.pop(0))
        uvicorn = tutorial.commands[0]
        async with contextlib.AsyncExitStack() as stack:
            async with tutorial.serving(uvicorn):
                page = await stack.enter_async_context(
                    browser(f"http://127.0.0.1:{tutorial.port}/")
                )
                await page.shows("tea")
            await tutorial.shell("psql -q shop -c \"INSERT INTO orders (item) VALUES ('rice')\"")
            async with tutorial.serving(uvicorn):
                await page.shows("tea", "rice")
                await tutorial.shell("psql -q shop -c 'DELETE FROM orders WHERE id = 1'")
                await page.shows("rice")
