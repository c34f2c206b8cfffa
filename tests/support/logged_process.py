"""A Python program in a separate process, whose log and sockets can be inspected."""

from __future__ import annotations

import asyncio
import os
import sys
from types import TracebackType

import psutil

from support.programs import log_file


class LoggedProcess:
    """Starts and ends the program; stderr is its log."""

    async def start(self, code: str, **environment: str) -> None:
        """Run this code with pipes for stdin and stdout, and additional environment variables."""
        self._log = log_file()
        pipe = asyncio.subprocess.PIPE
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            code,
            stdin=pipe,
            stdout=pipe,
            stderr=self._log,
            env={**os.environ, **environment},
        )

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.is_running:
            self.process.kill()
        # Reads to the end, so that its pipes are closed.
        await self.process.communicate()
        self._log.close()

    @property
    def is_running(self) -> bool:
        return self.process.returncode is None

    @property
    def log(self) -> str:
        self._log.seek(0)
        return self._log.read()

    def serves(self, port: int) -> bool:
        """Whether the process has a socket that is connected to this port of a client."""
        connections = psutil.Process(self.process.pid).net_connections("tcp")
        return any(connection.raddr and connection.raddr.port == port for connection in connections)
