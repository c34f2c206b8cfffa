"""A private PostgreSQL on a free port, which a test can kill and start."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from fraiseql_subs._core import postgres_execute, postgres_install_sql
from support.redis_server import free_port
from support.waiting import PATIENCE, eventually

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "wal_level": "logical",
    "max_wal_senders": "20",
    "max_replication_slots": "20",
    "max_slot_wal_keep_size": "1GB",
    "shared_buffers": "16MB",
    "fsync": "off",
}


class PostgresServer:
    """A private server; `async with PostgresServer(wal_level="replica") as postgres`."""

    def __init__(self, directory: Path | None = None, **settings: str) -> None:
        # Not in the folder of a test: the path of a Unix socket is short.
        self.directory = directory or Path(tempfile.mkdtemp(prefix="pg"))
        self.settings = settings
        self.port = free_port()
        self.process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """Its URL."""
        return self.url_of("postgres")

    def url_of(self, role: str) -> str:
        """Its URL for a role."""
        return f"postgresql://{role}@127.0.0.1:{self.port}/postgres"

    async def start(self) -> None:
        """Start it, also again."""
        await eventually(self._answers, "postgres answers")

    async def _answers(self) -> bool:
        # It refuses to start while processes of a server that was killed are left.
        if self.process is None or self.process.returncode is not None:
            await self._launch()
        status, _ = await self._psql("SELECT 1")
        return status == 0

    async def _launch(self) -> None:
        sockets = {"port": str(self.port), "unix_socket_directories": str(self.directory)}
        given = {**SETTINGS, **sockets, **self.settings}
        settings = [f"-c{name}={value}" for name, value in given.items()]
        self.process = await asyncio.create_subprocess_exec(
            *as_postgres(program("postgres"), "-D", str(self.directory / "data"), *settings),
            cwd="/",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )

    def install(self, *tables: str, role: str = "postgres", **options: Any) -> None:
        """Prepare the database, as `fraiseql-subs postgres install` does.

        Args:
            tables: Those whose changes are events.
            role: The role that prepares it.
            options: `publishers`, `nodes`: roles; `outbox`: whether events are rows.
        """
        chosen = {"publishers": [], "nodes": [], "outbox": False, "switch": False, **options}
        failure, _ = postgres_execute(
            self.url_of(role), postgres_install_sql([*tables], *chosen.values())
        )
        assert failure is None, failure

    async def sql(self, text: str) -> str:
        """Run SQL by psql; return what it prints."""
        status, output = await self._psql(text)
        assert status == 0, output
        return output

    async def _psql(self, text: str) -> tuple[int, str]:
        options = ["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-d", self.url, "-c", text]
        process = await asyncio.create_subprocess_exec(
            "psql", *options, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        output, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
        assert process.returncode is not None
        return process.returncode, output.decode().strip()

    async def kill(self) -> None:
        """End it as a crash does."""
        if self.process is not None:
            if self.process.returncode is None:
                self.process.kill()
                await self.process.wait()
            # Its other processes end when they notice it.
            (self.directory / "data" / "postmaster.pid").unlink(missing_ok=True)

    async def __aenter__(self) -> PostgresServer:
        shutil.copytree(template() / "data", self.directory / "data", symlinks=True)
        own(self.directory)
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.process is not None and self.process.returncode is None:
            # At once, but it frees its shared memory, of which the system has a limited number.
            self.process.send_signal(signal.SIGQUIT)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self.process.wait(), PATIENCE)
        await self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)


@functools.cache
def template() -> Path:
    """Make the files of a new server, once for each process."""
    directory = Path(tempfile.mkdtemp(prefix="pg"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    own(directory)
    options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "-N"]
    command = as_postgres(program("initdb"), "-D", str(directory / "data"), *options)
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return directory


def own(directory: Path) -> None:
    """Make `postgres` the owner of all files: the server refuses to run as root."""
    if os.geteuid() == 0:
        for path in [directory, *directory.rglob("*")]:
            with contextlib.suppress(FileNotFoundError):
                shutil.chown(path, "postgres", "postgres")


def as_postgres(*command: str) -> list[str]:
    """Return a command that runs another one as `postgres`, if this is root."""
    if os.geteuid() != 0:
        return list(command)
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *command]


def program(name: str) -> str:
    """Find a program of PostgreSQL.

    It is in the directory that `POSTGRES_BIN` names, or belongs to the newest version of Debian,
    which does not put them in the search path.
    """
    if "POSTGRES_BIN" in os.environ:
        found = [Path(os.environ["POSTGRES_BIN"], name)]
    else:
        found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    path = str(found[-1]) if found else shutil.which(name)
    assert path, f"{name} is not installed: apt-get install postgresql"
    return path
