"""The broker of a server over Redis: a private Redis, and a process that publishes to it.

The process publishes as the users of that server do, and counts the events. Not here: the servers
(contenders.py).
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from load_tests.redis_server import RedisServer


class Broker:
    """The Redis between publisher and server.

    Attributes:
        redis: The server.
    """

    def __init__(self, redis: RedisServer, publisher: subprocess.Popen[str]) -> None:
        self.redis = redis
        self._publisher = publisher
        self._before = redis.cpu_seconds()

    def cost(self) -> dict[str, float]:
        """End the publisher; return the CPU time of Redis, in all and for each published event."""
        used = self.redis.cpu_seconds() - self._before
        output, _ = self._publisher.communicate()
        events = int(output)
        return {
            "events": events,
            "cpu_seconds": used,
            "cpu_us_per_event": used * 1e6 / max(events, 1),
        }


@contextmanager
def publishing(redis: RedisServer, command: tuple[str, ...], control: int) -> Iterator[Broker]:
    """Run a process that publishes the lines of the port `control`, until the block ends."""
    started = [*command, "--redis", redis.url, "--control", str(control)]
    process = subprocess.Popen(started, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise SystemExit(f"a publisher does not start: {' '.join(started)}")
        yield Broker(redis, process)
    finally:
        process.kill()
        process.communicate()
