"""`fraiseql-subs serve --reload`: a program that changes is started again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support import PATIENCE, eventually, log_file
from support.programs import ENVIRONMENT, finish, read_line
from support.protocol_client import ConnectionClosed, ProtocolClient

APP = """
from fraiseql_subs import SubscriptionManager, passthrough, subscription

@subscription(channel="none", initial=lambda: VERSION)
async def version(event) -> str:
    return event.data

manager = SubscriptionManager([version], workers=1)

async def pass_by():
    pass

async def fail():
    raise ValueError("the database is away")
"""


class Reloaded:
    """A program that is reloaded, in a folder that a test edits."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write("one")

    def write(self, version: str, more: str = "") -> None:
        """Write the module. Python tells texts of one second apart by their length."""
        text = f"VERSION = {version!r}\n{APP}\n{more}\n"
        self._edits = getattr(self, "_edits", 0) + 1
        (self.folder / "app.py").write_text(text + "#" * self._edits)

    @contextlib.asynccontextmanager
    async def run(self, *arguments: str) -> AsyncIterator[Process]:
        with log_file() as log:
            self._log = log
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "fraiseql_subs", "serve", "app:manager", "--reload"),
                *("--port", "0", *arguments),
                cwd=self.folder,
                env=ENVIRONMENT,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=PIPE,
                stderr=log,
                start_new_session=True,
            )
            try:
                yield process
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.communicate()

    async def logged(self, text: str, count: int = 1) -> None:
        def says() -> bool:
            self._log.seek(0)
            return self._log.read().count(text) >= count

        await eventually(says, f"the log says {text!r}, {count} times")


async def version(url: str) -> tuple[ProtocolClient, str]:
    client = await ProtocolClient.connect(url)
    await client.init()
    id = await client.subscribe("subscription { version }")
    return client, (await client.receive_data(id))["version"]


async def url_of(process: Process) -> str:
    return (await read_line(process)).split()[4]


async def ended(process: Process) -> int:
    return await asyncio.wait_for(process.wait(), PATIENCE)


async def test_a_change_starts_the_program_again_at_the_same_port(tmp_path):
    program = Reloaded(tmp_path)
    async with program.run() as process:
        url = await url_of(process)
        client, seen = await version(url)
        assert seen == "one"
        program.write("two")
        with pytest.raises(ConnectionClosed) as closed:
            await client.receive()
        assert closed.value.rcvd.code == 1001
        # A client that connects before the new process listens waits for it.
        client, seen = await version(url)
        assert seen == "two"
        client.kill()
        await program.logged("reloading: app.py")
        process.send_signal(signal.SIGINT)
        assert await ended(process) == 0


async def test_a_program_that_cannot_be_imported_waits_for_a_change(tmp_path):
    program = Reloaded(tmp_path)
    program.write("one", "1 / 0")
    async with program.run() as process:
        await program.logged("ZeroDivisionError")
        await program.logged("it starts when a file changes")
        program.write("two")
        url = await url_of(process)
        program.write("three", "unknown_name")
        await program.logged("NameError")
        await program.logged("it starts when a file changes", 2)
        program.write("four")
        client, seen = await version(url)
        assert seen == "four"
        client.kill()
        process.send_signal(signal.SIGTERM)
        assert await ended(process) == 0


async def test_a_program_that_waits_for_a_change_ends_at_ctrl_c(tmp_path):
    program = Reloaded(tmp_path)
    program.write("one", "1 / 0")
    async with program.run() as process:
        await program.logged("it starts when a file changes")
        process.send_signal(signal.SIGINT)
        assert await ended(process) == 0


async def test_a_schema_beside_it_is_watched_and_other_files_are_not(tmp_path):
    program = Reloaded(tmp_path)
    async with program.run() as process:
        await url_of(process)
        (tmp_path / "notes.txt").write_text("notes")
        (tmp_path / "schema.graphql").write_text("type Query { a: Int }")
        await program.logged("reloading: schema.graphql")
        await program.logged("serves", 2)


async def test_main_that_returns_ends_the_program_and_one_that_raises_waits(tmp_path):
    program = Reloaded(tmp_path)
    async with program.run("--main", "app:fail") as process:
        await program.logged("ValueError: the database is away")
        await program.logged("it starts when a file changes")
        assert process.returncode is None
    async with program.run("--main", "app:pass_by") as process:
        assert await ended(process) == 0


@pytest.mark.parametrize(
    ("arguments", "status", "part"),
    [
        (["app:manger"], 2, "did you mean manager"),
        (["app:manager", "--processes", "2"], 2, "reloading serves by one process"),
        (["app:manager", "--app-dir", "nowhere"], 2, "--app-dir: nowhere is no folder"),
        (["app:manager", "--unix", "a.sock", "--tls-cert", "c", "--tls-key", "k"], 2, "--unix and"),
        (["app:manager", "--drain", "-1"], 2, "drain is -1.0"),
        (["app:manager", "--ready-delay", "-1"], 2, "--ready-delay is -1.0"),
        (["app:manager", "--closes-per-second", "0"], 2, "--closes-per-second is 0.0"),
    ],
)
async def test_what_cannot_be_reloaded_is_refused(tmp_path, arguments, status, part):
    Reloaded(tmp_path)
    code, err = await refused(tmp_path, arguments)
    assert code == status and part in err


async def test_the_package_that_is_missing_is_named(tmp_path):
    Reloaded(tmp_path)
    (tmp_path / "watchfiles.py").write_text("raise ImportError")
    code, err = await refused(tmp_path, ["app:manager"], str(tmp_path))
    assert code == 1 and "pip install 'fraiseql-subs[cli]'" in err


async def refused(folder: Path, arguments: list[str], path: str = "") -> tuple[int, str]:
    paths = os.pathsep.join([*([path] if path else []), ENVIRONMENT["PYTHONPATH"]])
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "fraiseql_subs", "serve", "--reload", *arguments),
        cwd=folder,
        env={**ENVIRONMENT, "PYTHONPATH": paths, "FRAISEQL_SUBS_PORT": "0"},
        stdout=PIPE,
        stderr=PIPE,
    )
    status, _, err = await finish(process)
    return status, err
