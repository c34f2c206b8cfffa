"""Runs `fraiseql-subs subscribe` as users do."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from support.programs import ENVIRONMENT, finish, read_line
from support.waiting import PATIENCE


class SubscribeCommand:
    """One run of the command."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.said = ""

    async def result(self) -> dict[str, Any]:
        """Return the next result."""
        result = json.loads(await read_line(self.process))
        assert isinstance(result, dict)
        return result

    async def data(self) -> Any:
        """Return the value of the only field of the next result."""
        result = await self.result()
        assert "errors" not in result, result
        (value,) = result["data"].values()
        return value

    async def says(self, text: str) -> str:
        """Wait for a line on stderr that has a text; return it."""
        assert self.process.stderr is not None
        while True:
            line = (await asyncio.wait_for(self.process.stderr.readline(), PATIENCE)).decode()
            assert line, f"it ended before it said {text!r}: {self.said}"
            self.said += line
            if text in line:
                return line

    async def ends(self) -> tuple[int, str, str]:
        """Return the exit status, the rest of stdout, and all that it said."""
        status, out, err = await finish(self.process)
        self.said += err
        assert "Traceback" not in self.said, self.said
        return status, out, self.said


@contextlib.asynccontextmanager
async def subscribing(
    *arguments: str, cwd: Path | None = None, stdin: bytes = b"", **variables: str
) -> AsyncIterator[SubscribeCommand]:
    """Start the command; it is killed at the end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "fraiseql_subs", "subscribe", *arguments),
        cwd=cwd,
        env={**ENVIRONMENT, "PYTHONIOENCODING": "utf-8", **variables},
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(stdin)
    process.stdin.close()
    try:
        yield SubscribeCommand(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def subscribe(*arguments: str, **options: Any) -> tuple[int, str, str]:
    """Run the command to its end; return its exit status, stdout and stderr."""
    async with subscribing(*arguments, **options) as command:
        return await command.ends()
