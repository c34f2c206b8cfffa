"""The unit of systemd: systemd accepts it, and the program does what the unit expects."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from files import DEPLOY, RESERVE, seconds, unit
from shop import SEARCH_PATH
from support import PATIENCE, log_file
from support.notified import Notified
from support.paths import ROOT
from support.redis_server import RedisServer

from fraiseql_subs.processes.supervised import GRACE

UNIT = unit()
FILE = DEPLOY / "systemd/shop.service"
DRAIN = "FRAISEQL_SUBS_DRAIN"

APP = """
import os
from fraiseql_subs import SubscriptionManager, passthrough

manager = SubscriptionManager(
    [passthrough("orders", str, channel="orders")], bus=os.environ["BUS_URL"], workers=1
)
"""

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)


def value(name: str) -> str:
    (only,) = UNIT[name]
    return only


def environment() -> dict[str, str]:
    return dict(word.split("=", 1) for word in shlex.split(value("Environment")))


def analyzed(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Have systemd look at the unit, with programs that are there."""
    file = tmp_path / FILE.name
    true = shutil.which("true")
    file.write_text(re.sub(r"/srv/shop/\.venv/bin/[\w-]+", str(true), FILE.read_text()))
    return subprocess.run(
        ["systemd-analyze", *arguments, str(file)],
        capture_output=True,
        text=True,
        env={**os.environ, "SYSTEMD_LOG_LEVEL": "warning"},
    )


@needs_systemd
def test_systemd_accepts_it(tmp_path):
    verified = analyzed(tmp_path, "verify", "--man=no")
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")


@needs_systemd
def test_systemd_finds_it_well_protected(tmp_path):
    """20 of 100 or less; a unit without settings has 96."""
    judged = analyzed(tmp_path, "security", "--offline=yes", "--threshold=20", "--no-pager")
    assert judged.returncode == 0, judged.stdout + judged.stderr


def test_it_has_the_time_to_drain():
    """The supervisor waits for a process this much longer, and then kills it."""
    drain = float(environment()[DRAIN])
    assert seconds(value("TimeoutStopSec")) >= drain + GRACE + RESERVE


def test_reload_sends_what_restarts_the_processes():
    assert value("ExecReload").endswith("kill -HUP $MAINPID")
    assert "--processes" in value("ExecStart")
    assert value("Type") == "notify"


async def test_the_program_serves_restarts_and_ends_as_the_unit_says(tmp_path):
    (tmp_path / "shop.py").write_text(APP)
    program, *arguments = shlex.split(value("ExecStart"))
    arguments += ["--port", "0"]
    with Notified(str(tmp_path / "notify")) as told, log_file() as log:
        async with RedisServer(tmp_path) as redis:
            process = await asyncio.create_subprocess_exec(
                *(Path(program).name, *arguments),
                cwd=tmp_path,
                env={
                    **environment(),
                    "PATH": SEARCH_PATH,
                    "PYTHONPATH": str(ROOT),
                    "BUS_URL": redis.url,
                    "NOTIFY_SOCKET": told.path,
                },
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )
            try:
                assert (await told.next())["READY"] == "1"
                # What `NotifyAccess=main` asks for.
                assert told.sender == process.pid
                process.send_signal(signal.SIGHUP)
                reloading = await told.next()
                assert reloading["RELOADING"] == "1"
                assert int(reloading["MONOTONIC_USEC"]) > 0
                assert await told.next() == {"READY": "1", "STATUS": "serving by 2 processes"}
                process.send_signal(getattr(signal, value("KillSignal")))
                assert (await told.next())["STOPPING"] == "1"
                assert told.sender == process.pid
                assert await asyncio.wait_for(process.wait(), PATIENCE) == 0
                assert told.rest() == []
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
