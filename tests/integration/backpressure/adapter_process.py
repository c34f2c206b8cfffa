"""A manager behind another server, in a separate process whose sockets can be inspected."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from support import PATIENCE
from support.logged_process import LoggedProcess
from support.paths import EXAMPLES, TESTS

FOLDERS = [str(TESTS), str(EXAMPLES)]

PROGRAM = """
import asyncio, json, sys

sys.path[:0] = {folders}
from support import servers
from support.progress import publish_until
from fraiseql_subs import *
from fraiseql_subs.adapters.asgi import GraphQLApp

{before}

async def main():
    async with {serve} as url:
        print(json.dumps({{"url": url}}), flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            answer = eval(line)
            if asyncio.iscoroutine(answer) or hasattr(answer, "__await__"):
                answer = await answer
            print(json.dumps({{"answer": answer}}, default=str), flush=True)

asyncio.run(main())
"""

BEHIND_UVICORN = """
from contextlib import asynccontextmanager

@asynccontextmanager
async def behind_uvicorn(manager, **options):
    async with manager, servers.uvicorn(GraphQLApp(manager), **options) as host:
        yield servers.ws_url(host)
"""


def serving(name: str) -> str:
    """Return code that serves `manager`, by a name of `SERVERS` or by a protocol of uvicorn."""
    kind, _, implementation = name.partition(":")
    if implementation:
        return f"behind_uvicorn(manager, {kind}={implementation!r})"
    return f"servers.SERVERS[{name!r}](manager)"


class AdapterProcess(LoggedProcess):
    """One server; `async with AdapterProcess("manager = ...", "asgi-hypercorn") as server`."""

    def __init__(self, before: str, name: str) -> None:
        before = BEHIND_UVICORN + before
        self.code = PROGRAM.format(folders=FOLDERS, before=before, serve=serving(name))

    async def __aenter__(self) -> AdapterProcess:
        await self.start(self.code)
        self.url = (await self._read())["url"]
        return self

    async def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        while line := await asyncio.wait_for(self.process.stdout.readline(), PATIENCE):
            # Some servers also write there.
            if line.startswith(b"{"):
                found: dict[str, Any] = json.loads(line)
                return found
        raise AssertionError(self.log)

    async def do(self, expression: str) -> Any:
        """Evaluate an expression in the process, and await an awaitable result."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{expression}\n".encode())
        return (await self._read())["answer"]
