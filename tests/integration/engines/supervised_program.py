"""`fraiseql-subs serve --processes`, run as users run it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from typing import IO

import psutil
from nodes import PATHS
from support import PATIENCE, eventually, log_file
from support.programs import read_line
from support.protocol_client import ProtocolClient


class SupervisedProgram:
    """A supervisor and its processes; `async with SupervisedProgram.run(redis.url) as program`."""

    def __init__(self, process: Process, log: IO[str]) -> None:
        self.process = process
        self.url = self.http_url = ""
        self._log = log

    @classmethod
    @contextlib.asynccontextmanager
    async def run(
        cls,
        bus: str,
        *arguments: str,
        target: str = "supervised_app:manager",
        terminal: int | None = None,
        ignored: str = "",
        **variables: str,
    ) -> AsyncIterator[SupervisedProgram]:
        """Start it, on a terminal or without one; all is killed at the end.

        Args:
            bus: The URL of the engine.
            arguments: Further arguments of the command.
            target: What it serves.
            terminal: Its terminal.
            ignored: Names of signals that it ignores at its start, as a shell sees to it.
            variables: Of its environment.
        """
        ignoring = ("sh", "-c", f'trap "" {ignored}; exec "$@"', "sh") if ignored else ()
        with log_file() as log:
            process = await asyncio.create_subprocess_exec(
                *(() if terminal is None else ("setsid", "--ctty")),
                *ignoring,
                *(sys.executable, "-m", "fraiseql_subs", "serve", target, "--processes", "2"),
                *(*arguments, *(() if {"--unix", "--port"} & {*arguments} else ("--port", "0"))),
                stdin=asyncio.subprocess.DEVNULL if terminal is None else terminal,
                stdout=PIPE,
                stderr=log,
                env={**os.environ, "PYTHONPATH": PATHS, "BUS": bus, **variables},
                # `setsid` makes one itself.
                start_new_session=terminal is None,
            )
            try:
                yield cls(process, log)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.communicate()

    async def serving(self, count: int = 2) -> SupervisedProgram:
        """Wait until so many processes have begun to serve."""
        await eventually(lambda: self.log.count("serves") >= count, f"{count} processes serve")
        line = await self.line("serving")
        _, _, _, _, self.url, _, self.http_url = line.split()
        return self

    @property
    def log(self) -> str:
        self._log.seek(0)
        return self._log.read()

    async def line(self, start: str) -> str:
        """Return the next line that it prints, which has to start so."""
        line = await read_line(self.process)
        assert line.startswith(start), line
        return line

    async def logged(self, text: str) -> None:
        await eventually(lambda: text in self.log, f"the log says {text!r}")

    async def ended(self) -> int:
        """Wait until it has ended, and return its status."""
        return await asyncio.wait_for(self.process.wait(), PATIENCE)

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()

    async def connect(self, *unlike: int) -> tuple[ProtocolClient, int]:
        """Connect a client to any process, but to none of these; return that process."""

        async def try_once() -> tuple[ProtocolClient, int] | None:
            client = await ProtocolClient.connect(self.url)
            await client.init()
            id = await client.subscribe("subscription { worker }")
            process = (await client.receive_data(id))["worker"]
            await client.complete(id)
            if process not in unlike:
                return client, process
            await client.close()
            return None

        return await eventually(try_once, "a client is served by another process")
