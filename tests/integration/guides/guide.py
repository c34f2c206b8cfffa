"""A guide as its reader has it: its files in a folder, its commands in a shell.

A block whose first line is a comment with the name of a file is that file; with a comma and some
words, as `# app.py, with Redis`, it is another form of it, which a test asks for. Each line of a
`console` block that begins with `$ ` is a command. Ports 80xx stand for free ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
from support import PATIENCE, eventually
from support.paths import ROOT
from support.redis_server import free_port

FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"^(?:#|--|<!--) ([\w/.-]+\.\w+)(?:, ([\w ]+))?(?: -->)?\n")


class Guide:
    """The files and the commands of a page.

    Args:
        page: Below `docs/how-to`.
        folder: Where the files are written.
        places: Texts of the page that stand for others, such as the port of Redis.
    """

    def __init__(self, page: str, folder: Path, places: dict[str, str] | None = None) -> None:
        self.folder = folder
        text = (ROOT / "docs" / "how-to" / page).read_text()
        found = sorted(set(re.findall(r"\b80\d\d\b", text)))
        self.ports = {port: free_port() for port in found}
        for old, new in {**(places or {}), **self.ports}.items():
            text = text.replace(old, str(new))
        self.commands: list[str] = []
        self._forms: dict[str, list[tuple[str, str]]] = {"": []}
        for language, code in FENCE.findall(text):
            if language == "console":
                lines = code.replace("\\\n", "").splitlines()
                self.commands += [line[2:] for line in lines if line.startswith("$ ")]
            elif named := FILE.match(code):
                self._forms.setdefault(named[2] or "", []).append((named[1], code))
        self.use("")
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        paths = os.pathsep.join([str(ROOT), str(folder)])
        self.environment = {**os.environ, "PATH": path, "PYTHONPATH": paths}
        self.environment |= {"PYTHONUNBUFFERED": "1", "HOME": str(folder)}

    def use(self, form: str) -> None:
        """Write the files that the page has in another form: "with Redis"."""
        for name, code in self._forms[form]:
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_text(code)

    def command(self, begin: str) -> str:
        """Return the first command of the page that begins so."""
        found = [command for command in self.commands if command.startswith(begin)]
        assert found, f"the page has no command that begins with {begin!r}"
        return found[0]

    @property
    def log(self) -> str:
        """What the programs have written."""
        path = self.folder / "programs.log"
        return path.read_text() if path.exists() else ""

    async def run(self, begin: str, status: int = 0) -> str:
        """Run a command of the page to its end, with this status; return what it prints."""
        process = await self._start(self.command(begin), asyncio.subprocess.PIPE)
        said, _ = await asyncio.wait_for(process.communicate(), 2 * PATIENCE)
        assert process.returncode == status, (said.decode(), self.log)
        return said.decode()

    @contextlib.asynccontextmanager
    async def running(
        self, begin: str, port: str | None = None
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        """Run a command of the page, until its port accepts connections; end it by SIGTERM."""
        with (self.folder / "programs.log").open("ab") as log:
            process = await self._start(self.command(begin), log.fileno())
        try:
            if port is not None:
                await eventually(lambda: self._accepts(process, port), f"`{begin}` listens")
                assert process.returncode is None, self.log
            yield process
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(process.wait(), PATIENCE)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()

    @contextlib.asynccontextmanager
    async def reading(self, begin: str) -> AsyncIterator[Reader]:
        """Run a command of the page whose output is read, and kill it at the end."""
        with (self.folder / "programs.log").open("ab") as log:
            process = await self._start(self.command(begin), asyncio.subprocess.PIPE, log.fileno())
        try:
            yield Reader(process, self)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.communicate()

    async def subscribed(self, port: str) -> None:
        """Wait until the embedded server at this port has a subscription."""
        async with httpx.AsyncClient(timeout=PATIENCE) as client:

            async def is_counted() -> bool:
                response = await client.get(f"http://127.0.0.1:{self.ports[port]}/metrics")
                sample = r"^fraiseql_subs_subscriptions(?:{.*})? ([1-9]\d*)$"
                return bool(re.search(sample, response.text, re.MULTILINE))

            await eventually(is_counted, "the client has subscribed")

    async def _accepts(self, process: asyncio.subprocess.Process, port: str) -> bool:
        if process.returncode is not None:
            return True
        _, writer = await asyncio.open_connection("127.0.0.1", self.ports[port])
        writer.close()
        return True

    async def _start(
        self, command: str, output: int, errors: int = asyncio.subprocess.STDOUT
    ) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *("bash", "-c", f"exec env {command}"),
            cwd=self.folder,
            env=self.environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            start_new_session=True,
        )


class Reader:
    """A program that subscribes and prints."""

    def __init__(self, process: asyncio.subprocess.Process, guide: Guide) -> None:
        self._process, self._guide = process, guide

    async def line(self) -> str:
        """Return the next line that it prints."""
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), PATIENCE)
        assert line, f"it has ended: {self._guide.log}"
        return line.decode().strip()

    async def line_after(self, begin: str) -> str:
        """Run a command of the page until a line comes: it may be earlier than the subscription."""
        line = asyncio.ensure_future(self.line())
        try:
            while not line.done():
                await self._guide.run(begin)
                await asyncio.wait([line], timeout=0.2)
            return line.result()
        finally:
            line.cancel()
