"""Runs `fraiseql-subs publish`."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process

from support import PATIENCE
from support.programs import ENVIRONMENT


async def start(*arguments: str | bytes, stdin: int = PIPE, **environment: str) -> Process:
    """Start the command."""
    inherited = {name: value for name, value in ENVIRONMENT.items() if "PUBLISH" not in name}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "fraiseql_subs", "publish"),
        *arguments,
        stdin=stdin,
        stdout=PIPE,
        stderr=PIPE,
        env={**inherited, **environment},
    )


async def publish(
    *arguments: str | bytes, stdin: bytes = b"", **environment: str
) -> tuple[int, list[str], str]:
    """Run the command; return its status, the lines it prints, and its errors."""
    process = await start(*arguments, **environment)
    out, err = await asyncio.wait_for(process.communicate(stdin), PATIENCE)
    assert process.returncode is not None
    assert b"Traceback" not in err, err.decode()
    return process.returncode, out.decode().splitlines(), err.decode()
