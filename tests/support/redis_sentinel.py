"""A private sentinel, which watches one master."""

from __future__ import annotations

from pathlib import Path

from support.redis_server import RedisServer

MASTER = "mymaster"
"""What it calls its master."""


class RedisSentinel(RedisServer):
    """A sentinel; `async with RedisSentinel(tmp_path, master.port) as sentinel`.

    Args:
        directory: Where its files are.
        master: Port of the master.
        quorum: How many sentinels have to find that the master is gone (count).
        settings: More lines of its configuration.
    """

    def __init__(
        self, directory: Path, master: int, quorum: int = 1, settings: tuple[str, ...] = ()
    ) -> None:
        super().__init__(directory)
        self._settings = [
            "bind 127.0.0.1",
            f"logfile {directory / 'redis.log'}",
            f"sentinel monitor {MASTER} 127.0.0.1 {master} {quorum}",
            *settings,
        ]

    def _arguments(self, port: int) -> list[str]:
        # It keeps what it learns in this file.
        path = self.directory / "sentinel.conf"
        path.write_text("\n".join([f"port {port}", *self._settings]) + "\n")
        return [str(path), "--sentinel"]

    async def master(self) -> dict[str, str]:
        """Return what it knows of the master."""
        words = (await self.command("SENTINEL", "MASTER", MASTER)).splitlines()
        return dict(zip(words[::2], words[1::2], strict=True))

    async def usable(self) -> int:
        """Return how many sentinels there are that could agree, itself among them."""
        words = (await self.command("SENTINEL", "CKQUORUM", MASTER)).split()
        return int(words[1]) if words[0] == "OK" else 0
