"""What a program tells the service manager, such as systemd, at a real socket."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import threading
import time
from asyncio.subprocess import PIPE, Process, create_subprocess_exec
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from support import PATIENCE
from support.notified import Notified
from support.programs import ENVIRONMENT, finish, read_line

from fraiseql_subs._service_manager import tell_ready, tell_reloading, tell_stopping

APP = """
import asyncio
import os
from fraiseql_subs import SubscriptionManager, passthrough

manager = SubscriptionManager([passthrough("orders", str, channel="orders")], workers=1)
seen = os.environ.get("NOTIFY_SOCKET")

async def short():
    pass

async def stay():
    print("main runs", flush=True)
    await asyncio.Event().wait()

if __name__ == "__main__":
    manager.run(port=0)
"""

SERVE = ("-m", "fraiseql_subs", "serve", "app:manager", "--port", "0")


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Notified]:
    with Notified(str(tmp_path / "notify")) as told:
        yield told


@contextlib.asynccontextmanager
async def run(folder: Path, notify: str | None, *arguments: str) -> AsyncIterator[Process]:
    (folder / "app.py").write_text(APP)
    variables = {} if notify is None else {"NOTIFY_SOCKET": notify}
    environment = {name: value for name, value in ENVIRONMENT.items() if name != "NOTIFY_SOCKET"}
    process = await create_subprocess_exec(
        *(sys.executable, *arguments),
        cwd=folder,
        env={**environment, **variables},
        stdout=PIPE,
        stderr=PIPE,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.communicate()


@pytest.mark.parametrize("arguments", [SERVE, ("app.py",)], ids=["the command", "manager.run"])
async def test_a_program_tells_that_it_serves_and_that_it_drains(tmp_path, told, arguments):
    async with run(tmp_path, told.path, *arguments) as process:
        ready = await told.next()
        assert ready["READY"] == "1" and ready["STATUS"].startswith("serving on ws://127.0.0.1:")
        port = int(ready["STATUS"].rpartition(":")[2].partition("/")[0])
        socket.create_connection(("127.0.0.1", port), PATIENCE).close()
        process.send_signal(signal.SIGTERM)
        assert (await told.next())["STOPPING"] == "1"
        assert (await finish(process))[0] == 0
    assert told.rest() == []


async def test_the_end_of_main_is_told(tmp_path, told):
    async with run(tmp_path, told.path, *SERVE, "--main", "app:short") as process:
        assert (await told.next())["READY"] == "1"
        assert (await told.next())["STOPPING"] == "1"
        assert (await finish(process))[0] == 0


async def test_a_service_manager_that_is_busy_does_not_hold_up_the_program(tmp_path, told):
    """What it could not be told at once it is told later, in order."""
    told.fill()
    async with run(tmp_path, told.path, *SERVE, "--main", "app:stay") as process:
        assert (await read_line(process)).startswith("serving ")
        assert await read_line(process) == "main runs"
        while "FILLED" in (message := await told.next()):
            pass
        assert message["READY"] == "1"
        process.send_signal(signal.SIGTERM)
        assert (await told.next())["STOPPING"] == "1"
        status, _, err = await finish(process)
    assert (status, "cannot be told" in err) == (0, False)


async def test_an_abstract_socket_is_reached(tmp_path):
    with Notified(f"@fraiseql-subs-{os.getpid()}-{time.monotonic_ns()}") as told:
        async with run(tmp_path, told.path, *SERVE):
            assert (await told.next())["READY"] == "1"


async def test_a_program_that_cannot_listen_is_not_ready(tmp_path, told):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        arguments = (*SERVE[:-1], str(taken.getsockname()[1]))
        async with run(tmp_path, told.path, *arguments) as process:
            assert (await finish(process))[0] == 1
    assert told.rest() == []


@pytest.mark.parametrize("place", ["/nowhere/notify", "vsock:2:1234"])
async def test_a_service_manager_that_is_away_hinders_nothing(tmp_path, place):
    async with run(tmp_path, place, *SERVE) as process:
        assert (await read_line(process)).startswith("serving ")
        process.send_signal(signal.SIGTERM)
        status, _, err = await finish(process)
    assert status == 0
    assert "the service manager at NOTIFY_SOCKET cannot be told" in err


@pytest.mark.parametrize("place", [None, ""])
async def test_without_a_service_manager_nothing_is_told(tmp_path, place):
    async with run(tmp_path, place, *SERVE) as process:
        assert (await read_line(process)).startswith("serving ")
        process.send_signal(signal.SIGTERM)
        status, _, err = await finish(process)
    assert (status, "NOTIFY_SOCKET" in err) == (0, False)


async def test_with_reload_the_supervisor_alone_tells(tmp_path, told):
    async with run(tmp_path, told.path, *SERVE, "--reload") as process:
        assert (await told.next())["READY"] == "1"
        assert told.sender == process.pid
        process.send_signal(signal.SIGTERM)
        assert (await told.next())["STOPPING"] == "1"
        assert told.sender == process.pid
        assert (await finish(process))[0] == 0
    assert told.rest() == []


async def test_that_it_serves_is_told_after_many_messages_for_which_there_was_no_room(
    monkeypatch, told
):
    monkeypatch.setenv("NOTIFY_SOCKET", told.path)
    told.fill()
    tell_reloading()
    tell_ready("serving")
    for _ in range(20):
        tell_reloading()
    while "READY" not in (message := await told.next()):
        pass
    assert message["STATUS"] == "serving"


def test_a_filter_of_the_log_may_wait_for_a_thread_that_tells(monkeypatch):
    threads: list[threading.Thread] = []
    ended: list[bool] = []

    def wait(record: logging.LogRecord) -> bool:
        if not threads:
            threads.append(threading.Thread(target=tell_stopping, daemon=True))
            threads[0].start()
            threads[0].join(PATIENCE)
            ended.append(not threads[0].is_alive())
        return True

    logger = logging.getLogger("fraiseql_subs.server")
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere/notify")
    logger.addFilter(wait)
    try:
        tell_ready("serving")
    finally:
        logger.removeFilter(wait)
    assert ended == [True]
