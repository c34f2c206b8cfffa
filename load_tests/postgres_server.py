"""A private PostgreSQL on a free port, for measurements.

Not here: the PostgreSQL of the tests, which can be killed and started (tests/support).
"""

from __future__ import annotations

import shutil
import signal
import socket
import struct
import subprocess
import sys
from functools import partial
from pathlib import Path

from load_tests.private_server import PATIENCE, PrivateServer, as_user

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "wal_level": "logical",
    # Its own timers add little to the figures.
    "autovacuum": "off",
    "checkpoint_timeout": "1h",
    "max_wal_size": "8GB",
    "max_slot_wal_keep_size": "10GB",
}
"""What differs from the defaults. Commits wait for the disk."""

SSL_REQUEST = struct.pack("!ii", 8, 80877103)
"""Asks for TLS. The answer is one byte."""


class PostgresServer(PrivateServer):
    """A private server, whose database `postgres` is prepared; `with PostgresServer() as postgres`.

    Args:
        install: More arguments of `fraiseql-subs postgres install`, such as `--table public.feed`.
        schema: SQL that is run before.
        options: What nodes add to its URL, such as `?sslmode=disable`.
    """

    name = "postgres"
    end = signal.SIGQUIT

    def __init__(self, *install: str, schema: str = "", options: str = "") -> None:
        super().__init__()
        self._install = install
        self._schema = schema
        self._options = options

    @property
    def url(self) -> str:
        """Its URL."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    @property
    def bus(self) -> str:
        """The URL that nodes use it by."""
        return self.url + self._options

    def command(self) -> list[str]:
        """Return how it is started on its port."""
        data = self.directory / "data"
        if not data.exists():
            self._make(data)
        settings = {
            **SETTINGS,
            "port": str(self.port),
            "unix_socket_directories": str(self.directory),
        }
        options = [f"-c{name}={value}" for name, value in settings.items()]
        return as_user("postgres", program("postgres"), "-D", str(data), *options)

    def _make(self, data: Path) -> None:
        self.directory.chmod(0o755)
        data.mkdir()
        command = [program("initdb"), "-D", str(data), "-U", "postgres", "-A", "trust"]
        command = as_user("postgres", *command, "-E", "UTF8", "--no-locale", "-N")
        if command[0] == "setpriv":
            shutil.chown(data, "postgres", "postgres")
            shutil.chown(self.directory, "postgres", "postgres")
        subprocess.run(command, cwd="/", check=True, stdout=subprocess.DEVNULL)

    def answers(self) -> bool:
        """Return whether it lets clients in."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as link:
                link.sendall(SSL_REQUEST)
                return link.recv(1) in (b"S", b"N") and self._psql("SELECT 1").returncode == 0
        except ConnectionError:
            return False

    def prepare(self) -> None:
        """Create the schema, and what carries events."""
        if self._schema:
            self.sql(self._schema)
        command = [sys.executable, "-m", "fraiseql_subs", "postgres", "install", "--url", self.url]
        subprocess.run([*command, *self._install], check=True, stdout=subprocess.DEVNULL)

    def sql(self, text: str) -> str:
        """Run SQL by psql; return what it prints."""
        done = self._psql(text)
        if done.returncode != 0:
            raise SystemExit(f"psql: {done.stderr.strip()}")
        return done.stdout.strip()

    def walsenders(self) -> list[int]:
        """Return the processes that send the log to nodes."""
        return [int(pid) for pid in self.sql("SELECT pid FROM pg_stat_replication").split()]

    def _psql(self, text: str) -> subprocess.CompletedProcess[str]:
        options = ["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-d", self.url]
        return subprocess.run(
            ["psql", *options], input=text, capture_output=True, text=True, check=False
        )


OUTBOX = partial(PostgresServer, "--outbox", options="?outbox=true")
"""Makes a server whose events are rows of an outbox."""


def program(name: str) -> str:
    """Find a program of the newest PostgreSQL: Debian does not put them in the search path."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    path = str(found[-1]) if found else shutil.which(name)
    if path is None:
        raise SystemExit(f"{name} is not installed: apt-get install postgresql")
    return path
