"""What the faults happen to: nodes that serve clients, and a publisher, each behind its own proxy.

Not here: what has to hold (`promises`), and the faults.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import cycle, islice
from typing import Any

from support import eventually
from support.ledger import PARTS, Ledger, StreamName, Traffic
from support.observer import Observation, Observer
from support.programs import suspend
from support.server_process import ServerProcess
from support.tcp_proxy import Admission, TcpProxy

from fraiseql_subs import Security, SubscriptionManager, TenantIsolation, passthrough

ALL_ROWS = bool(os.environ.get("FAULTS"))
"""Whether `make faults` runs: also what takes long, and with many clients."""

CLIENTS = int(os.environ.get("FAULT_CLIENTS") or (200 if ALL_ROWS else 20))
"""Clients of each node (count)."""

STREAMS = [StreamName(tenant, f"c{n}") for tenant in ("acme", "other") for n in range(10)]
"""Ten channels, on which each of two tenants has events of its own."""

LIMIT = 1_000
"""Events that are published to a stream during a fault, at most."""

KEPT = 4 * LIMIT
"""Events of a stream that history keeps, unless a test says otherwise."""

PAUSE = 0.25 if ALL_ROWS else 0.05
"""Time between two events of a stream during a fault (seconds)."""

SUBSCRIBER = b"SUBSCRIBE"
"""What the link of a program that receives events has sent."""

PUBLISHER = b"EVALSHA"
"""What the link of a program that publishes or reads history has sent."""

NODE = """
import dataclasses, logging
logging.basicConfig(level=logging.INFO)

@dataclasses.dataclass
class Item:
    id: str
    number: int
    part: int

async def authenticate(params):
    return Identity("client", tenant_id=params.payload["tenant"])

manager = SubscriptionManager(
    [passthrough("event", Item, channel="{{channel}}", filter={{"part": "$part"}},
                 arguments={{"channel": str, "part": int}})],
    bus={url!r},
    security=Security(authenticate=authenticate, tenant=TenantIsolation()),
    history={history},
    workers=1,
    {options}
)
"""


class Node:
    """One process that serves clients, and the proxy between it and Redis."""

    def __init__(self, name: str, proxy: TcpProxy, server: ServerProcess) -> None:
        self.name = name
        self.proxy = proxy
        self.server = server
        self.memory_before = 0.0

    @property
    def links(self) -> int:
        """Its connections to Redis that are open (count)."""
        return len(self.proxy.connections)


class Deployment:
    """`async with Deployment(redis.port) as deployment`.

    Args:
        port: Of Redis.
        nodes: How many.
        clients: Of each node (count).
        streams: Which there are; clients share them out.
        history: Code of what nodes keep.
        publish_timeout: Of the publisher (seconds).
        on_unavailable: Of the publisher.
        url: Of the bus, with `{port}` for that of the proxy of a program.
        publisher_url: Of the publisher, if it is another one.
        rewrite: Replaces what the bus and programs send each other, part by part.
        options: Code of more arguments of the manager of a node.
    """

    def __init__(
        self,
        port: int,
        *,
        nodes: int = 3,
        clients: int = CLIENTS,
        streams: list[StreamName] = STREAMS,
        history: str = f"History(events={KEPT})",
        publish_timeout: float = 5.0,
        on_unavailable: Any = "wait",
        url: str = "redis://127.0.0.1:{port}",
        publisher_url: str | None = None,
        rewrite: Callable[[bytes], bytes] | None = None,
        options: str = "",
    ) -> None:
        self._redis_port = port
        self._nodes_wanted, self._clients = nodes, clients
        self.streams = streams
        self._history, self._options = history, options
        self._publishing = {"publish_timeout": publish_timeout, "on_unavailable": on_unavailable}
        self._url, self._rewrite = url, rewrite
        self._publisher_url = publisher_url or url
        self._stack = AsyncExitStack()
        self.nodes: list[Node] = []
        self.observations: list[Observation] = []
        self._observers: dict[str, Observer] = {}

    async def __aenter__(self) -> Deployment:
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        for observer in self._observers.values():
            observer.close()
        await self._stack.aclose()

    async def _start(self) -> None:
        self.publisher_proxy, self.manager = await self._start_publisher()
        self.ledger = Ledger(self.manager)
        names = [f"node {n + 1}" for n in range(self._nodes_wanted)]
        self.nodes = list(await asyncio.gather(*map(self._start_node, names)))
        for node in self.nodes:
            await self._connect_clients(node)
        for node in self.nodes:
            node.memory_before = node.server.memory

    async def _proxy(self) -> TcpProxy:
        proxy = TcpProxy(self._redis_port, [SUBSCRIBER, PUBLISHER], self._rewrite)
        return await self._stack.enter_async_context(proxy)

    async def _start_publisher(self) -> tuple[TcpProxy, SubscriptionManager]:
        proxy = await self._proxy()
        manager = SubscriptionManager(
            [passthrough("unused", str, channel="unused")],
            bus=self._publisher_url.format(port=proxy.port),
            security=Security(tenant=TenantIsolation()),
            history=eval(self._history, vars(__import__("fraiseql_subs"))),
            workers=1,
            **self._publishing,
        )
        await self._stack.enter_async_context(manager)
        return proxy, manager

    async def add_publisher(self, name: str) -> tuple[TcpProxy, Ledger]:
        """Start one more publisher; return its proxy and its ledger, of the same entries."""
        proxy, manager = await self._start_publisher()
        return proxy, self.ledger.beside(manager, name)

    async def _start_node(self, name: str) -> Node:
        proxy = await self._proxy()
        url = self._url.format(port=proxy.port)
        code = NODE.format(url=url, history=self._history, options=self._options)
        server = await self._stack.enter_async_context(ServerProcess(code))
        return Node(name, proxy, server)

    async def add_node(self) -> Node:
        """Start one more node, without clients."""
        node = await self._start_node(f"node {len(self.nodes) + 1}")
        self.nodes.append(node)
        node.memory_before = node.server.memory
        return node

    async def _connect_clients(self, node: Node) -> None:
        parts = [
            (stream, (turn + place) % PARTS)
            for turn in range(PARTS)
            for place, stream in enumerate(self.streams)
        ]
        for number, (stream, part) in enumerate(islice(cycle(parts), self._clients)):
            await self.observe(node, f"client {number} of {node.name}", stream, part)

    async def observe(self, node: Node, name: str, stream: StreamName, part: int) -> Observation:
        """Connect one more client, whose subscription is confirmed on return."""
        observation = Observation(name, stream, part)
        self.observations.append(observation)
        await self.connect(node, observation)
        observation.confirmed = self.ledger.order
        return observation

    async def connect(self, node: Node, observation: Observation) -> None:
        """Connect a client of before again, to any node."""
        observer = await Observer.connect(node.server.url, observation)
        self._observers[observation.name] = observer

    def disconnect(self, observation: Observation) -> None:
        """End the connection of a client as a lost network does."""
        self._observers.pop(observation.name).close()

    def suspend(self, node: Node) -> None:
        """Stop the process of a node, so that it answers nothing and its connections stay."""
        suspend(node.server.process.pid)

    def go_on(self, node: Node) -> None:
        """Let a node go on."""
        os.kill(node.server.process.pid, signal.SIGCONT)

    @property
    def proxies(self) -> list[TcpProxy]:
        """Those of the nodes and of the first publisher."""
        return [self.publisher_proxy, *(node.proxy for node in self.nodes)]

    @asynccontextmanager
    async def traffic(
        self,
        *,
        by: Ledger | None = None,
        limit: int = LIMIT,
        pause: float = PAUSE,
        **options: Any,
    ) -> AsyncIterator[Traffic]:
        """Publish to all streams inside, by the first publisher or another one."""
        async with (by or self.ledger).traffic(
            self.streams, limit=limit, pause=pause, **options
        ) as traffic:
            yield traffic

    def clients_of(self, *nodes: Node) -> list[Observation]:
        """Return the clients that were connected to these nodes at first."""
        names = tuple(f" of {node.name}" for node in nodes)
        return [one for one in self.observations if one.name.endswith(names)]

    async def move(self, observations: list[Observation], nodes: list[Node]) -> None:
        """Connect clients of before, in turn to each of these nodes."""
        for start in range(0, len(observations), 20):
            some = observations[start : start + 20]
            places = (nodes[place % len(nodes)] for place in range(start, start + len(some)))
            await asyncio.gather(*map(self.connect, places, some))

    async def hold(self, nodes: list[Node]) -> None:
        """Cut nodes off from the bus, and refuse new links."""
        for node in nodes:
            await node.proxy.admit(Admission.REFUSE)
            node.proxy.cut()
        await eventually(lambda: not any(node.links for node in nodes), "links end")

    async def release(self, nodes: list[Node]) -> None:
        """Let nodes connect again."""
        for node in nodes:
            await node.proxy.admit(Admission.PASS)

    async def settle(self) -> None:
        """Return when each client has received an event that was published after the call.

        So whatever was published before has come, was told to be missed, or never comes.
        """
        behind = list(self.observations)
        for _ in range(10):
            behind = await self._behind_after_one_more(behind)
            if not behind:
                return await eventually(self._are_live, "each node says that its bus is live")
        raise AssertionError(f"clients are told again and again: {self._state_of(behind)}")

    async def _are_live(self) -> bool:
        nodes = [node for node in self.nodes if node.server.is_running]
        states = [await node.server.metric("bus_is_live") for node in nodes]
        return all(states) and self.manager.metrics().bus_is_live == 1

    async def _behind_after_one_more(self, observations: list[Observation]) -> list[Observation]:
        """Publish an event for each of these clients; return those who were told to miss it.

        A client that is told to have missed events may have missed this one.
        """
        missed = {one.name: one.missed for one in observations}
        parts = {(one.stream, one.part) for one in observations}
        entries = await asyncio.gather(*(self.ledger.confirmed(*part) for part in parts))
        ids = {(entry.stream, entry.part): entry.id for entry in entries}

        def without() -> list[Observation]:
            return [one for one in observations if not one.has(ids[one.stream, one.part])]

        def waiting() -> list[Observation]:
            return [one for one in without() if one.missed == missed[one.name]]

        try:
            await eventually(lambda: not waiting(), "all clients receive what is published")
        except AssertionError as failure:
            raise AssertionError(f"{failure}: {self._state_of(waiting())}") from None
        return without()

    def _state_of(self, observations: list[Observation]) -> str:
        lines = [f"{len(observations)} clients"]
        lines += [f"{one.name}: {one.stream}, {one.log[-3:]}" for one in observations[:5]]
        closed = [name for name, one in self._observers.items() if one.is_closed.is_set()]
        lines.append(f"closed: {closed[:5]}")
        lines += [f"{node.name}: {node.server.log[-1500:]}" for node in self.nodes]
        return "\n".join(lines)
