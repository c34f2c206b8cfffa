"""A private Redis Cluster on free ports, whose slots and servers a test can move and kill."""

from __future__ import annotations

import asyncio
import random
import socket
from functools import partial
from pathlib import Path

from support.redis_server import RedisServer
from support.waiting import eventually

SLOTS = 16384
"""Into how many parts Redis divides keys (count)."""


def bus_port() -> int:
    """Find a port for other servers; none of those from which the system takes ports itself."""
    while True:
        port = random.randrange(10_000, 32_000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port


class RedisCluster:
    """Masters that share the slots evenly; `async with RedisCluster(tmp_path) as cluster`.

    Args:
        directory: Where the files of all servers are.
        masters: How many there are.
        options: More settings of each server.
    """

    def __init__(
        self, directory: Path, masters: int = 3, options: dict[str, str] | None = None
    ) -> None:
        self.directory = directory
        self.masters = masters
        self.options = options or {}
        self.servers: list[RedisServer] = []
        """The masters in the order of their slots, then what was added."""

    @property
    def url(self) -> str:
        """The URL of a bus, with all servers."""
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in self.servers)
        return f"redis+cluster://{hosts}"

    async def start_server(self) -> RedisServer:
        """Start one more server, which belongs to no cluster yet."""
        number = len(self.servers)
        folder = self.directory / f"server-{number}"
        folder.mkdir()
        options = {
            "cluster-enabled": "yes",
            "cluster-port": str(bus_port()),
            "cluster-node-timeout": "2000",
            "repl-diskless-sync-delay": "0",
            **self.options,
        }
        server = RedisServer(folder, options)
        await server.start()
        self.servers.append(server)
        return server

    async def __aenter__(self) -> RedisCluster:
        for number in range(self.masters):
            server = await self.start_server()
            first, last = (SLOTS * each // self.masters for each in (number, number + 1))
            await self.ask(server, "CLUSTER", "ADDSLOTSRANGE", str(first), str(last - 1))
            await self.ask(server, "CLUSTER", "SET-CONFIG-EPOCH", str(number + 1))
        for server in self.servers[1:]:
            await self.meet(server)
        await self.is_complete()
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*[server.kill() for server in self.servers])

    async def ask(self, server: RedisServer, *words: str) -> str:
        """Run a command that must not fail."""
        answer = await server.command(*words)
        assert not answer.startswith(("ERR", "(error)", "MOVED", "IOERR")), (words, answer)
        return answer

    async def meet(self, server: RedisServer) -> None:
        """Make a server part of the cluster."""
        port, bus = str(server.port), server.options["cluster-port"]
        await self.ask(self.servers[0], "CLUSTER", "MEET", "127.0.0.1", port, bus)

    async def is_complete(self) -> None:
        """Wait until each server knows all others, and the cluster serves all slots."""
        for server in self.servers:
            await eventually(partial(self._is_complete, server), "the cluster is complete")

    async def _is_complete(self, server: RedisServer) -> bool:
        info = await server.command("CLUSTER", "INFO")
        return "cluster_state:ok" in info and f"known_nodes:{len(self.servers)}" in info

    async def is_down(self) -> None:
        """Wait until a server that runs says that the cluster serves nothing."""

        async def is_down() -> bool:
            running = [each for each in self.servers if each.process.returncode is None]
            return "cluster_state:fail" in await running[0].command("CLUSTER", "INFO")

        await eventually(is_down, "the cluster is down")

    async def add_replica(self, master: int) -> int:
        """Add a replica that has the data of a master; return its number."""
        replica = await self.start_server()
        await self.meet(replica)
        await self.is_complete()
        await self.ask(replica, "CLUSTER", "REPLICATE", await self.id(master))

        async def has_copy() -> bool:
            return "master_link_status:up" in await replica.command("INFO", "replication")

        await eventually(has_copy, "the replica has a copy")
        return len(self.servers) - 1

    async def id(self, server: int) -> str:
        """Return how the cluster calls a server."""
        return await self.servers[server].command("CLUSTER", "MYID")

    async def place(self, channel: str) -> tuple[str, int]:
        """Return the slot of a channel of the bus that a node wants, and its master's number."""
        for number, server in enumerate(self.servers):
            for name in (await server.command("PUBSUB", "SHARDCHANNELS")).split():
                if name.endswith(f":c:{channel}"):
                    return await server.command("CLUSTER", "KEYSLOT", name), number
        raise AssertionError(f"no server has a subscription of {channel}")

    async def begin_move(self, slot: str, source: int, target: int) -> None:
        """Begin to move a slot: its keys are where they were."""
        importing = ("CLUSTER", "SETSLOT", slot, "IMPORTING", await self.id(source))
        await self.ask(self.servers[target], *importing)
        migrating = ("CLUSTER", "SETSLOT", slot, "MIGRATING", await self.id(target))
        await self.ask(self.servers[source], *migrating)

    async def move_keys(self, slot: str, source: int, target: int, count: int = 10_000) -> None:
        """Move at most so many keys of a slot."""
        found = await self.servers[source].command("CLUSTER", "GETKEYSINSLOT", slot, str(count))
        keys = found.split()
        if keys:
            port = str(self.servers[target].port)
            move = ("MIGRATE", "127.0.0.1", port, "", "0", "5000", "KEYS", *keys)
            await self.ask(self.servers[source], *move)

    async def end_move(self, slot: str, source: int, target: int) -> None:
        """End the move of a slot."""
        name = await self.id(target)
        for number in (target, source):
            await self.ask(self.servers[number], "CLUSTER", "SETSLOT", slot, "NODE", name)

    async def move(self, slot: str, source: int, target: int) -> None:
        """Move a slot with its keys."""
        await self.begin_move(slot, source, target)
        await self.move_keys(slot, source, target)
        await self.end_move(slot, source, target)
