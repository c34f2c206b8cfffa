"""What the private servers of the engines have in common: a process, a free port, what they use.

Not here: the server of one engine (redis_server.py, nats_server.py, postgres_server.py), and those
of the tests, which can be paused and restarted (tests/support).
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import ClassVar

from typing_extensions import Self

ATTEMPTS = 5
"""Ports that are tried, as another program may take one before it is used (count)."""

PATIENCE = 30.0
"""Longest wait for an answer (seconds)."""


class PrivateServer:
    """A server on a free port, whose files are removed at the end; `with RedisServer() as redis`.

    Attributes:
        name: How it is called, for errors.
        end: The signal that ends it and all its processes at once.
        directory: Where its files are.
        port: Where it listens on 127.0.0.1.
    """

    name: ClassVar[str]
    end: ClassVar[signal.Signals] = signal.SIGKILL

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="load-")
        self.directory = Path(self._directory.name)
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """Its URL."""
        raise NotImplementedError

    @property
    def bus(self) -> str:
        """The URL that nodes use it by."""
        return self.url

    def command(self) -> list[str]:
        """Return how it is started on its port."""
        raise NotImplementedError

    def answers(self) -> bool:
        """Ask it for something; False while it cannot be reached."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Do what has to be done once it answers."""

    @property
    def pid(self) -> int:
        """Its process, the first of them."""
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> Self:
        for _ in range(ATTEMPTS):
            self.port = free_port()
            self._process = subprocess.Popen(
                self.command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            if self._is_up():
                self.prepare()
                return self
        raise SystemExit(f"{self.name} does not start")

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self._process.send_signal(self.end)
            self._process.wait()
        self._directory.cleanup()

    def _is_up(self) -> bool:
        """Wait until it answers; False if it has ended."""
        assert self._process is not None
        until = time.monotonic() + PATIENCE
        while self._process.poll() is None and time.monotonic() < until:
            if self.answers():
                return True
            time.sleep(0.01)
        return False

    def cpu_seconds(self) -> float:
        """Return the CPU time of all its processes and threads that have not ended (seconds)."""
        return sum(map(cpu_seconds, family(self.pid)))

    def memory(self) -> int:
        """Return the memory of all its processes; each has its part of what they share (bytes)."""
        return sum(map(memory, family(self.pid)))


def free_port() -> int:
    """Return a port that no program uses now."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def family(pid: int) -> list[int]:
    """Return a process and all that it has started, and these."""
    children = []
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            children += [int(child) for child in tasks.read_text().split()]
    return [pid, *(one for child in children for one in family(child))]


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of the threads of a process (seconds); 0 if it has ended."""
    # In nanoseconds, where the times of /proc/PID/stat have steps of 10 ms.
    used = 0
    for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):
            used += int(task.read_text().split()[0])
    return used / 1e9


def memory(pid: int) -> int:
    """Return the memory of a process: resident, with its part of what it shares (bytes)."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def as_user(user: str, *command: str) -> list[str]:
    """Return a command that runs another one as a user, if this is root."""
    if os.geteuid() != 0:
        return list(command)
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *command]
