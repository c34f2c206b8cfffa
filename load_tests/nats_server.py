"""A private NATS on a free port, for measurements.

Not here: the NATS of the tests, which can be paused and restarted (tests/support).
"""

from __future__ import annotations

import os
import shutil
import socket

from load_tests.private_server import PATIENCE, PrivateServer


class NatsServer(PrivateServer):
    """A private server, with JetStream in its directory; `with NatsServer() as nats`.

    Args:
        settings: More of its settings, in its language.
    """

    name = "nats-server"

    def __init__(self, settings: str = "") -> None:
        super().__init__()
        self._settings = settings

    @property
    def url(self) -> str:
        """Its URL."""
        return f"nats://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        """Return how it is started on its port."""
        file = self.directory / "nats.conf"
        file.write_text(
            f'listen: "127.0.0.1:{self.port}"\n'
            f'jetstream {{ store_dir: "{self.directory}/js" }}\n{self._settings}\n'
        )
        return [program(), "-c", str(file)]

    def answers(self) -> bool:
        """Return whether it greets."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as link:
                return link.recv(5) == b"INFO "
        except ConnectionError:
            return False


def program() -> str:
    """Find the program: Debian puts it where only root looks."""
    found = shutil.which("nats-server", path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        raise SystemExit("nats-server is not installed: apt-get install nats-server")
    return found
