"""A private Redis on a free port, for measurements.

Not here: the Redis of the tests, which can be paused and restarted (tests/support).
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from types import TracebackType

ATTEMPTS = 5
"""Ports that are tried, as another program may take one before it is used (count)."""

PATIENCE = 10.0
"""Longest wait for an answer (seconds)."""


class RedisServer:
    """A private server without persistence; `with RedisServer() as redis`.

    Args:
        options: More of its settings, such as `{"io-threads": "2"}`.

    Attributes:
        port: Where it listens on 127.0.0.1.
        pid: Its process.
    """

    def __init__(self, options: dict[str, str] | None = None) -> None:
        self._options = options or {}
        self._directory = tempfile.TemporaryDirectory(prefix="load-redis-")
        self._process: subprocess.Popen[bytes] | None = None
        self._link: socket.socket | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """Its URL."""
        return f"redis://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> RedisServer:
        program = shutil.which("redis-server")
        if program is None:
            raise SystemExit("redis-server is not installed: apt-get install redis-server")
        for _ in range(ATTEMPTS):
            with socket.create_server(("127.0.0.1", 0)) as free:
                self.port = free.getsockname()[1]
            settings = {
                "port": str(self.port),
                "bind": "127.0.0.1",
                "dir": self._directory.name,
                "save": "",
                "appendonly": "no",
                # Its own timers run once a second only, so that they add little to the figures.
                "hz": "1",
                "dynamic-hz": "no",
                **self._options,
            }
            arguments = [part for name, value in settings.items() for part in (f"--{name}", value)]
            self._process = subprocess.Popen([program, *arguments], stdout=subprocess.DEVNULL)
            if self._is_up():
                return self
        raise SystemExit("redis-server does not start")

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._link is not None:
            self._link.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._directory.cleanup()

    def _is_up(self) -> bool:
        """Wait until it answers; False if it has ended."""
        assert self._process is not None
        until = time.monotonic() + PATIENCE
        while self._process.poll() is None and time.monotonic() < until:
            try:
                self._link = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
                return self.ask("PING") == "PONG"
            except ConnectionRefusedError:
                time.sleep(0.01)
        return False

    def ask(self, command: str) -> str:
        """Send a command of plain words; return its simple or bulk string."""
        assert self._link is not None
        self._link.sendall(command.encode() + b"\r\n")
        answer = self._link.makefile("rb")
        first = answer.readline().rstrip().decode()
        if first.startswith("-"):
            raise RuntimeError(f"{command}: {first[1:]}")
        if first.startswith("$"):
            return answer.read(int(first[1:]) + 2)[:-2].decode()
        return first[1:]

    def info(self, section: str) -> dict[str, str]:
        """Read a section of `INFO`."""
        lines = self.ask(f"INFO {section}").splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def cpu_seconds(self) -> float:
        """Return the CPU time of all its threads (seconds, in steps of 1 µs)."""
        cpu = self.info("cpu")
        return float(cpu["used_cpu_user"]) + float(cpu["used_cpu_sys"])

    def calls(self) -> dict[str, int]:
        """Return the number of calls of each command, including calls by scripts."""
        found = {}
        for name, figures in self.info("commandstats").items():
            calls = figures.split(",", 1)[0].removeprefix("calls=")
            found[name.removeprefix("cmdstat_")] = int(calls)
        return found
