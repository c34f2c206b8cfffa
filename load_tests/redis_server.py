"""A private Redis on a free port, for measurements.

Not here: the Redis of the tests, which can be paused and restarted (tests/support).
"""

from __future__ import annotations

import shutil
import socket
from typing import Any

from load_tests.private_server import PATIENCE, PrivateServer


class RedisServer(PrivateServer):
    """A private server without persistence; `with RedisServer() as redis`.

    Args:
        options: More of its settings, such as `{"io-threads": "2"}`.
    """

    name = "redis-server"

    def __init__(self, options: dict[str, str] | None = None) -> None:
        super().__init__()
        self._options = options or {}
        self._link: socket.socket | None = None

    @property
    def url(self) -> str:
        """Its URL."""
        return f"redis://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        """Return how it is started on its port."""
        program = shutil.which(self.name)
        if program is None:
            raise SystemExit("redis-server is not installed: apt-get install redis-server")
        settings = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(self.directory),
            "save": "",
            "appendonly": "no",
            # Its own timers run once a second only, so that they add little to the figures.
            "hz": "1",
            "dynamic-hz": "no",
            **self._options,
        }
        return [
            program,
            *(part for name, value in settings.items() for part in (f"--{name}", value)),
        ]

    def __exit__(self, *exception: Any) -> None:
        if self._link is not None:
            self._link.close()
        super().__exit__(*exception)

    def answers(self) -> bool:
        """Return whether it answers a ping."""
        try:
            self._link = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
            return self.ask("PING") == "PONG"
        except ConnectionError:
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

    def calls(self) -> dict[str, int]:
        """Return the number of calls of each command, including calls by scripts."""
        found = {}
        for name, figures in self.info("commandstats").items():
            calls = figures.split(",", 1)[0].removeprefix("calls=")
            found[name.removeprefix("cmdstat_")] = int(calls)
        return found
