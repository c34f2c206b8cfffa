"""A private Redis on a free port, which a test can kill, stop and start."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
from functools import partial
from pathlib import Path

from support.programs import suspend
from support.waiting import PATIENCE, eventually

ATTEMPTS = 5
"""How often a port is tried that another program may have taken."""


def free_port() -> int:
    """Find a port that nothing listens on. Another program may take it before it is used."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class RedisServer:
    """A private server; `async with RedisServer(tmp_path) as redis`.

    Args:
        directory: Where its files are.
        options: More of its settings, such as `{"appendonly": "yes"}`.
        environment: More variables of its environment.
    """

    def __init__(
        self,
        directory: Path,
        options: dict[str, str] | None = None,
        environment: dict[str, str] | None = None,
    ) -> None:
        self.directory = directory
        self.options = options or {}
        self.environment = environment or {}
        self.port = 0
        self.process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """Its URL."""
        return f"redis://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """What it has logged."""
        path = self.directory / "redis.log"
        return path.read_text() if path.exists() else ""

    async def start(self) -> None:
        """Start it, on the port that it had."""
        for _ in range(ATTEMPTS):
            port = self.port or free_port()
            self.process = await self._launch(port)
            await eventually(partial(self._is_decided, port), "redis-server answers or ends")
            if self.process.returncode is None:
                self.port = port
                return
        raise AssertionError(f"redis-server does not start: {self.log}")

    async def _launch(self, port: int) -> asyncio.subprocess.Process:
        program = shutil.which("redis-server")
        assert program, "redis-server is not installed: apt-get install redis-server"
        return await asyncio.create_subprocess_exec(
            program, *self._arguments(port), env={**os.environ, **self.environment}
        )

    def _arguments(self, port: int) -> list[str]:
        settings = {
            "port": str(port),
            "bind": "127.0.0.1",
            "dir": str(self.directory),
            "logfile": str(self.directory / "redis.log"),
            "save": "",
            "appendonly": "no",
            **self.options,
        }
        return [part for name, value in settings.items() for part in (f"--{name}", value)]

    async def _is_decided(self, port: int) -> bool:
        assert self.process is not None
        return self.process.returncode is not None or await self._answers(port)

    async def _answers(self, port: int) -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        try:
            writer.write(b"PING\r\n")
            line = await asyncio.wait_for(reader.readline(), PATIENCE)
            return line.startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False
        finally:
            writer.close()

    async def command(self, *words: str, last: bytes | None = None) -> str:
        """Run a command by redis-cli, with bytes as its last word; returns what it prints."""
        more = [] if last is None else ["-x"]
        process = await asyncio.create_subprocess_exec(
            "redis-cli",
            "-p",
            str(self.port),
            *more,
            *words,
            stdin=asyncio.subprocess.DEVNULL if last is None else asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await asyncio.wait_for(process.communicate(last), PATIENCE)
        return output.decode().strip()

    async def kill(self) -> None:
        """Kill it; data that it has not written are lost."""
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()

    def pause(self) -> None:
        """Stop it, so that it answers nothing and its connections stay."""
        assert self.process is not None
        suspend(self.process.pid)

    def resume(self) -> None:
        """Let it go on."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGCONT)

    async def __aenter__(self) -> RedisServer:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()
