"""A private NATS on a free port, which a test can kill, stop and start."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from functools import partial
from pathlib import Path

from support.programs import suspend
from support.redis_server import ATTEMPTS, free_port
from support.waiting import PATIENCE, eventually


class NatsServer:
    """A private server; `async with NatsServer(tmp_path) as nats`.

    Args:
        directory: Where its files are.
        settings: More of its settings, in its language.
        jetstream: Whether it keeps events.
        port: Its port; 0: any.
    """

    def __init__(
        self, directory: Path, settings: str = "", *, jetstream: bool = True, port: int = 0
    ) -> None:
        self.directory = directory
        self.settings = settings
        self.jetstream = jetstream
        self.port = port
        self.process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """Its URL."""
        return f"nats://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """What it has logged."""
        path = self.directory / "nats.log"
        return path.read_text() if path.exists() else ""

    async def start(self) -> None:
        """Start it, on the port that it had."""
        for _ in range(ATTEMPTS):
            port = self.port or free_port()
            self.process = await self._launch(port)
            await eventually(partial(self._is_decided, port), "nats-server answers or ends")
            if self.process.returncode is None:
                self.port = port
                return
        raise AssertionError(f"nats-server does not start: {self.log}")

    async def _launch(self, port: int) -> asyncio.subprocess.Process:
        program = shutil.which("nats-server", path=f"{os.environ['PATH']}:/usr/sbin")
        assert program, "nats-server is not installed: apt-get install nats-server"
        self._write(port)
        return await asyncio.create_subprocess_exec(program, "-c", str(self._configuration))

    @property
    def _configuration(self) -> Path:
        return self.directory / "nats.conf"

    def _write(self, port: int) -> None:
        store = f'jetstream {{ store_dir: "{self.directory}/js" }}\n' if self.jetstream else ""
        self._configuration.write_text(
            f'listen: "127.0.0.1:{port}"\nlog_file: "{self.directory}/nats.log"\n'
            f"{store}{self.settings}\n"
        )

    async def _is_decided(self, port: int) -> bool:
        assert self.process is not None
        return self.process.returncode is not None or await self._answers(port)

    async def _answers(self, port: int) -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        try:
            line = await asyncio.wait_for(reader.readline(), PATIENCE)
            return line.startswith(b"INFO ")
        except OSError:
            return False
        finally:
            writer.close()

    async def kill(self) -> None:
        """Kill it."""
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()

    def reload(self, settings: str) -> None:
        """Let it read other settings while it runs."""
        self.settings = settings
        self._write(self.port)
        self._signal(signal.SIGHUP)

    def end_slowly(self) -> None:
        """Let it ask its clients to leave (lame duck mode)."""
        self._signal(signal.SIGUSR2)

    def pause(self) -> None:
        """Stop it, so that it answers nothing and its connections stay."""
        assert self.process is not None
        suspend(self.process.pid)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)

    async def __aenter__(self) -> NatsServer:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()
