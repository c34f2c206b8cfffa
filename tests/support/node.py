"""Node.js processes that run the clients of `tests/js`."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from support.paths import SCRIPTS
from support.waiting import PATIENCE


class NodeProcess:
    """A script that prints lines of JSON."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    @asynccontextmanager
    async def run(cls, script: str, *arguments: str) -> AsyncIterator[NodeProcess]:
        node = shutil.which("node")
        assert node, "Node.js is missing: run `make test`, which installs it"
        process = await asyncio.create_subprocess_exec(
            node, str(SCRIPTS / script), *arguments, stdout=asyncio.subprocess.PIPE, limit=1 << 24
        )
        try:
            yield cls(process)
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    async def read(self) -> Any:
        """Return the JSON of the next line."""
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), PATIENCE)
        assert line, "the script ended early"
        return json.loads(line)


def subscribe(client: str, url: str, query: str, **options: Any) -> Any:
    """Subscribe with a client of `subscribe.mjs`."""
    request = {"client": client, "url": url, "query": query, **options}
    return NodeProcess.run("subscribe.mjs", json.dumps(request))
