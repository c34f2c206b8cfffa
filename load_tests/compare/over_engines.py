"""The broker of a server over an engine: a private server, and a process that publishes to it.

The process publishes as the users of that server do, and counts the events. Not here: the servers
(contenders.py).
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from load_tests.private_server import PrivateServer


class Broker:
    """The engine between publisher and server.

    Attributes:
        engine: The server of the engine.
    """

    def __init__(self, engine: PrivateServer, publisher: subprocess.Popen[str]) -> None:
        self.engine = engine
        self._publisher = publisher
        self._before = engine.cpu_seconds()

    def cost(self) -> dict[str, float]:
        """End the publisher; return the CPU time of the engine, and how long publishing took.

        That is the CPU time of all its processes, in all (seconds) and for each published event
        (µs), and the median and the 99th percentile of the calls (ms), if the publisher has them.
        """
        used = self.engine.cpu_seconds() - self._before
        output, _ = self._publisher.communicate()
        found: dict[str, float] = json.loads(output)
        events = found["events"]
        return {
            **found,
            "cpu_seconds": used,
            "cpu_us_per_event": used * 1e6 / max(events, 1),
        }


@contextmanager
def publishing(engine: PrivateServer, command: tuple[str, ...], control: int) -> Iterator[Broker]:
    """Run a process that publishes the lines of the port `control`, until the block ends."""
    started = [*command, "--bus", engine.url, "--control", str(control)]
    process = subprocess.Popen(started, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise SystemExit(f"a publisher does not start: {' '.join(started)}")
        yield Broker(engine, process)
    finally:
        process.kill()
        process.communicate()
