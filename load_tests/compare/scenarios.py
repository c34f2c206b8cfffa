"""What is asked of the servers: how many clients, which events, and how long."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

QUERY = "subscription ($key: Int) { feed(key: $key) { sequence sentAt key note } }"
SNAPSHOT = "subscription { snapshot { sequence sentAt key note } }"
"""Has its first result at once."""
EVERY = "{}"
ONE_KEY = '{"key": {subscription}}'
NOTE = "x" * 90
"""Makes a message of about 200 bytes."""

MANY = 10_000
"""The most connections (count) of a scenario."""

OURS = ("floor", "ours", "ours-resolver", "ours-batch")
KEYED = ("floor", "ours")
"""Those that find subscriptions by their key; the others ask each of them."""

PYTHON = ("floor-asyncio", "floor-uvloop", "ours", "ours-resolver", "strawberry", "ariadne")
"""Those that Python programs run inside."""

ALL = (
    "floor",
    "floor-asyncio",
    "floor-uvloop",
    "ours",
    "ours-resolver",
    "async-graphql",
    "graphql-ws",
    "mercurius",
    "strawberry",
    "ariadne",
)
FAN_OUT = (*ALL, "ours-batch")

REDIS = (
    "floor",
    "ours",
    "floor-redis",
    "ours-redis",
    "ours-redis-live",
    "strawberry-redis",
    "graphql-redis",
)
"""Servers that receive events over Redis, and two in memory to compare them with."""

ENGINES = (
    "ours-redis",
    "ours-nats",
    "ours-jetstream",
    "ours-postgres",
    "ours-table",
    "ours-outbox",
    "graphql-nats",
    "strawberry-postgres",
    "graphql-postgres",
)
"""Servers that receive events over an engine."""

REDIS_FLOORS = ("floor-redis", "floor-redis-threads", "floor-redis-asyncio")
"""Bare loops that read a message of Redis and write one frame to each socket."""

FAST = ALL[:-2]
"""Those that take the most connections within the limit of a scenario."""


@dataclass(frozen=True)
class Scenario:
    """One way to load a server.

    Attributes:
        name: How it is chosen on the command line, by its beginning.
        mode: Mode of the load client.
        connections: Clients (count).
        servers: Names of the servers that take part.
        subscriptions: Of each connection (count).
        variables: Of each subscription: JSON with the load client's placeholders.
        events: Published at first (count).
        work: CPU time below which a server is measured once more, with so many events that it
            comes to this (seconds): the clock of a process counts 10 ms.
        pending: Events under way at once (count).
        rate: Events a second, for the modes that have a rate.
        seconds: How long those and idle last.
        warm_up: Events before measuring (count).
        rounds: No more rounds than this, where one says as much as many.
        storm: Clients that connect at once, beside those of `connections` (count).
        limit: Time after which a server is given up (seconds), connecting included.
        note: Makes the messages as large as they are.
        compression: Whether the clients offer permessage-deflate.
    """

    name: str
    mode: str
    connections: int
    servers: tuple[str, ...] = ALL
    subscriptions: int = 1
    variables: str = EVERY
    events: int = 100
    work: float = 0.0
    pending: int = 1
    rate: float = 10
    seconds: float = 5
    warm_up: int = 10
    rounds: int = 100
    storm: int = 0
    limit: float = 60
    note: str = NOTE
    compression: bool = False

    def command(self, events: int) -> list[str]:
        """Write the part of the load client's command line that does not name the server."""
        event = '{"sequence": {sequence}, "sentAt": {now}, "key": {key}, "note": %s}'
        options: dict[str, object] = {
            "query": QUERY,
            "variables": self.variables,
            "data": event % json.dumps(self.note),
            "connections": self.connections,
            "subscriptions": self.subscriptions,
            "events": events,
            "pending": self.pending,
            "duration": self.seconds,
            "warm-up": self.warm_up,
        }
        if self.mode in ("rate", "storm"):
            options["rate"] = self.rate
        if self.mode == "storm":
            options |= {"connections": self.storm, "live": self.connections}
            options["storm-query"] = SNAPSHOT
        pairs = [(f"--{name}", str(value)) for name, value in options.items()]
        flags = ["--compression"] if self.compression else []
        return [self.mode, *(part for pair in pairs for part in pair), *flags]

    def quick(self) -> Scenario:
        """Ask for less, to see that everything works; figures are coarse."""
        return replace(
            self,
            events=max(self.events // 5, 5),
            work=self.work / 5,
            seconds=1,
            warm_up=2,
        )


WORK = 0.5
SCENARIOS = [
    Scenario("fan-out-1", "fan-out", 1, (*FAN_OUT, "floor-threads"), events=2_000, work=WORK),
    Scenario("fan-out-100", "fan-out", 100, FAN_OUT, events=200, work=WORK),
    Scenario("fan-out-1000", "fan-out", 1_000, FAN_OUT, events=30, work=WORK),
    # Connecting takes longest, so that there is one try; enough for the fastest too.
    Scenario(f"fan-out-{MANY}", "fan-out", MANY, FAST, events=8, warm_up=2, rounds=2, limit=90),
    Scenario("pending-100", "fan-out", 100, OURS, events=500, pending=16, work=WORK),
    Scenario("pending-1000", "fan-out", 1_000, OURS, events=100, pending=16, work=WORK),
    Scenario("rate-100", "rate", 100),
    Scenario("selective-1000", "selective", 1_000, variables=ONE_KEY, events=200, work=WORK),
    Scenario("selective-10000", "selective", 1_000, KEYED, 10, ONE_KEY, events=2_000, work=WORK),
    Scenario("selective-100000", "selective", 1_000, KEYED, 100, ONE_KEY, events=2_000, work=WORK),
    Scenario("idle-1000", "idle", 1_000, seconds=2, rounds=1),
    Scenario(f"idle-{MANY}", "idle", MANY, FAST, seconds=2, rounds=1, limit=90),
    Scenario("storm-1000", "storm", 100, rate=50, storm=1_000),
    Scenario(f"storm-{MANY}", "storm", 100, FAST, rate=50, storm=MANY, rounds=3, limit=90),
    Scenario("redis-one", "fan-out", 1, REDIS, events=2_000, work=WORK),
    # Few events: Strawberry needs a third of a second for each.
    Scenario(
        "redis-fan-out",
        "fan-out",
        1_000,
        REDIS,
        events=10,
        work=WORK,
        warm_up=5,
        rounds=2,
        limit=90,
    ),
    Scenario("redis-rate", "rate", 1, REDIS, rate=1_000),
    Scenario("engines-one", "fan-out", 1, (*REDIS_FLOORS, *ENGINES), events=500, work=WORK),
    Scenario("engines-rate-100", "rate", 1, ENGINES, rate=100, seconds=10),
    Scenario("engines-rate-1000", "rate", 1, ENGINES, rate=1_000),
]

QUICK = [s.quick() for s in SCENARIOS if max(s.connections, s.storm) < MANY]
"""The scenarios that finish soon."""
