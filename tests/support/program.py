"""Programs that a test runs in a process of their own, as users run theirs."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from typing import IO

from support.waiting import PATIENCE


@contextlib.asynccontextmanager
async def program(code: str, *arguments: str) -> AsyncIterator[tuple[Process, str]]:
    """Run Python code; yield the process and the first line it prints, and kills it at the end.

    Raises:
        AssertionError: It ended without a line; what it wrote to stderr is shown by pytest.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, *arguments, stdin=PIPE, stdout=PIPE
    )
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), PATIENCE)
        assert line, "the program ended before it said anything"
        yield process, line.decode().strip()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


def log_file() -> IO[str]:
    """Open a file that a process writes while the test reads it.

    Both share one place in it, which reading moves; so what is written always goes to the end.
    """
    log = tempfile.TemporaryFile("w+")
    fcntl.fcntl(log, fcntl.F_SETFL, fcntl.fcntl(log, fcntl.F_GETFL) | os.O_APPEND)
    return log
