"""Many clients of npm `graphql-ws`, in a few processes of Node.js."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

CLIENTS = Path(__file__).with_name("clients.mjs")

LINE = 1 << 24
"""Longest line of a process (bytes)."""


class Crowd:
    """Clients that subscribe at the first URL and go on at the others; `async with Crowd(...)`.

    Args:
        count: Clients.
        processes: Processes that they run in.
        wait: `"none"`: they connect again at once; `"default"`: after the pause of graphql-ws.
        query: What each subscribes to.
        urls: Where they connect, one after the other.

    Attributes:
        opened: When sockets were opened, for each URL (seconds since the epoch).
        connected: When clients were acknowledged.
        codes: Close codes of the ends of connections, for each URL.
    """

    def __init__(self, count: int, processes: int, wait: str, query: str, urls: list[str]) -> None:
        shares = [count // processes + (number < count % processes) for number in range(processes)]
        self._arguments = [[str(share), wait, query, *urls] for share in shares if share]
        self._changed = asyncio.Event()
        self.opened: list[list[float]] = [[] for _ in urls]
        self.connected: list[list[float]] = [[] for _ in urls]
        self.codes: list[Counter[int]] = [Counter() for _ in urls]

    async def __aenter__(self) -> Crowd:
        node = shutil.which("node")
        if node is None:
            raise SystemExit("Node.js is missing")
        pipe = asyncio.subprocess.PIPE
        self._processes = [
            await asyncio.create_subprocess_exec(
                node, str(CLIENTS), *arguments, stdin=pipe, stdout=pipe, limit=LINE
            )
            for arguments in self._arguments
        ]
        self._reading = [asyncio.ensure_future(self._read(one)) for one in self._processes]
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.close()
        await asyncio.gather(*(process.wait() for process in self._processes), *self._reading)

    async def until(self, condition: Callable[[], bool], patience: float) -> None:
        """Wait until a condition holds that changes with what clients tell."""
        end = time.monotonic() + patience
        while not condition():
            if any(process.returncode is not None for process in self._processes):
                raise SystemExit("a process with clients has ended")
            left = end - time.monotonic()
            if left <= 0:
                connected = [len(times) for times in self.connected]
                raise SystemExit(f"clients are late: {connected} were connected after {patience} s")
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), min(left, 1.0))
            except asyncio.TimeoutError:
                continue

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            self._take(json.loads(line))
            self._changed.set()

    def _take(self, told: dict[str, Any]) -> None:
        for moment, place in told["opened"]:
            self.opened[place].append(moment)
        for moment, place in told["connected"]:
            self.connected[place].append(moment)
        for _, place, code in told["closed"]:
            self.codes[place][code] += 1
