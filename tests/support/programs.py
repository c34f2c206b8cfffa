"""Programs that a test runs in separate processes, like users."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO

from support.paths import ROOT, TESTS
from support.waiting import PATIENCE, eventually_sync

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(TESTS)])}
"""For programs that use `support` as well."""


@contextlib.asynccontextmanager
async def program(code: str, *arguments: str) -> AsyncIterator[tuple[Process, str]]:
    """Run Python code; yields the process and the first line it prints, and kills it at the end.

    Raises:
        AssertionError: It ended without a line; pytest shows what it wrote to stderr.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, *arguments, stdin=PIPE, stdout=PIPE
    )
    try:
        yield process, await read_line(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


def suspend(pid: int) -> None:
    """Stop a process, so that it answers nothing and its connections stay.

    The signal is not delivered at once: this returns when all its threads are stopped.
    """
    os.kill(pid, signal.SIGSTOP)
    eventually_sync(lambda: _is_stopped(pid), "the process is stopped")


def _is_stopped(pid: int) -> bool:
    states = (task / "stat" for task in Path(f"/proc/{pid}/task").iterdir())
    return all(state.read_text().rpartition(")")[2].split()[0] == "T" for state in states)


async def start(code: str, *before: str) -> Process:
    """Run Python code with pipes for stdin and stdout; `before` is a command that runs it."""
    return await start_command(*before, sys.executable, "-c", code)


async def start_command(*command: str) -> Process:
    """Run a command in the folder of the repository, with pipes for stdin and stdout."""
    return await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, stdin=PIPE, stdout=PIPE, stderr=PIPE
    )


async def read_line(process: Process) -> str:
    """Return the next line that a process prints.

    Raises:
        AssertionError: It ended without one, with what it wrote to stderr.
    """
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), PATIENCE)
    if not line:
        _, err = await process.communicate()
        raise AssertionError(f"the program ended before it said anything: {(err or b'').decode()}")
    return line.decode().rstrip()


async def finish(process: Process) -> tuple[int, str, str]:
    """Wait for the end of a process; return its code, and the rest of stdout and stderr."""
    out, err = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


def log_file() -> IO[str]:
    """Open a file that a process writes while the test reads it.

    Both use one file position, which reading moves. So the process appends to the file.
    """
    log = tempfile.TemporaryFile("w+")
    fcntl.fcntl(log, fcntl.F_SETFL, fcntl.fcntl(log, fcntl.F_GETFL) | os.O_APPEND)
    return log
