"""`fraiseql-subs serve --processes`: the end of processes that do not end as they should."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest
from nodes import PATHS
from supervised_program import SupervisedProgram
from support import eventually

run = SupervisedProgram.run

STUBBORN = """
import os, signal, sys
from pathlib import Path

from fraiseql_subs.processes import supervised

supervised.GRACE = float(os.environ["GRACE"])
if "_FRAISEQL_SUBS_SUPERVISED" in os.environ and Path(os.environ["HANGING"]).exists():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
"""
"""Has a process ignore SIGTERM while its import hangs."""


def stubborn(folder: Path, grace: float) -> dict[str, str]:
    """Return the environment of such a program."""
    (folder / "sitecustomize.py").write_text(STUBBORN)
    path = os.pathsep.join([str(folder), PATHS])
    return {"PYTHONPATH": path, "HANGING": str(folder / "hanging"), "GRACE": str(grace)}


async def test_a_process_that_never_served_does_not_hold_up_the_end(redis, tmp_path):
    variables = stubborn(tmp_path, grace=0.5)
    async with run(redis.url, "--drain", "3600", **variables) as program:
        await program.serving()
        (tmp_path / "hanging").touch()
        os.kill(program.process.pid, signal.SIGHUP)
        await program.logged("hanging")
        os.kill(program.process.pid, signal.SIGTERM)
        assert await program.ended() == 0
        assert "it is killed" in program.log


async def test_processes_that_are_given_up_do_not_pile_up(redis, tmp_path):
    variables = stubborn(tmp_path, grace=3600)
    async with run(redis.url, "--start-timeout", "3600", **variables) as program:
        await program.serving()
        (tmp_path / "hanging").touch()
        hung: list[psutil.Process] = []
        for count in range(1, 7):
            before = {child.pid for child in program.children()}
            os.kill(program.process.pid, signal.SIGHUP)
            await eventually(lambda n=count: program.log.count("hanging") == n, "one more hangs")
            hung += [child for child in program.children() if child.pid not in before]
        assert len(hung) == 6
        # One hangs, four are being ended, and the first is killed.
        await eventually(lambda: not hung[0].is_running(), "the oldest is killed")
        assert all(each.is_running() for each in hung[2:])


LATE = """
import asyncio, os, signal

def run(*arguments, run=asyncio.run, **options):
    status = run(*arguments, **options)
    os.kill(os.getpid(), getattr(signal, os.environ["LATE"]))
    return status

if "_FRAISEQL_SUBS_SUPERVISED" not in os.environ:
    asyncio.run = run
"""


@pytest.mark.parametrize("name", ["SIGHUP", "SIGTERM", "SIGINT"])
async def test_a_signal_of_the_last_moments_is_harmless(redis, tmp_path, name):
    """To the supervisor when all its processes have ended."""
    (tmp_path / "sitecustomize.py").write_text(LATE)
    path = os.pathsep.join([str(tmp_path), PATHS])
    async with run(redis.url, PYTHONPATH=path, LATE=name) as program:
        await program.serving()
        os.kill(program.process.pid, signal.SIGTERM)
        assert await program.ended() == 0
        assert "Traceback" not in program.log
