"""The servers that are compared: how each is started, and which versions it is made of.

Each is a process that takes `--port` and `--control`, serves the schema of `servers/control.py`
and prints `ready`. A server over an engine takes `--port` and `--bus`, and another process
publishes to it. Not here: what is asked of them (scenarios.py).
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

from load_tests import nats_server, postgres_server
from load_tests.compare.over_engines import Broker, publishing
from load_tests.nats_server import NatsServer
from load_tests.postgres_server import PostgresServer
from load_tests.private_server import PrivateServer
from load_tests.redis_server import RedisServer

HERE = Path(__file__).parent
PYTHON = sys.executable

PYTHON_PACKAGES = ("strawberry-graphql", "ariadne", "graphql-core", "uvicorn", "uvloop")
NPM_PACKAGES = ("graphql", "graphql-ws", "ws", "mercurius", "fastify")
REDIS_PACKAGES = ("django", "channels", "channels-redis", "redis")
REDIS_NPM_PACKAGES = ("graphql-redis-subscriptions", "graphql-subscriptions", "ioredis")
ENGINE_PACKAGES = ("broadcaster", "asyncpg")
ENGINE_NPM_PACKAGES = ("nats", "pg-listen", "pg")

TABLE = "public.feed"
"""Whose rows are events."""

SCHEMA = f"""CREATE TABLE {TABLE} (
    number bigserial PRIMARY KEY, sequence integer, "sentAt" bigint, key integer, note text)"""


@dataclass(frozen=True)
class Contender:
    """A server that can be measured.

    Attributes:
        name: How it is chosen on the command line.
        title: How tables call it.
        command: How it is started; ports are appended.
        publisher: Command of the process that publishes to it over an engine, as its users do.
            Empty: the server publishes the lines of its own control port.
        engine: Makes the server of the engine.
    """

    name: str
    title: str
    command: tuple[str, ...]
    publisher: tuple[str, ...] = ()
    engine: Callable[[], PrivateServer] = RedisServer


def _script(name: str) -> str:
    return str(HERE / "servers" / name)


def _binary(name: str) -> str:
    return str(HERE / "peers/target/release" / name)


def contenders(workers: int | None) -> list[Contender]:
    """List all of them; `workers` are the threads of those that have any, by default their own."""
    threads = () if workers is None else ("--workers", str(workers))
    ours = (PYTHON, _script("ours.py"), *threads)
    return [
        Contender("floor", "floor: one loop, one `write` a frame", (_binary("floor"),)),
        Contender(
            "floor-threads",
            "floor, events enter on another thread",
            (_binary("floor"), "--hand-over"),
        ),
        Contender(
            "floor-asyncio",
            "Python's floor on asyncio: the same loop",
            (PYTHON, _script("python_floor.py")),
        ),
        Contender(
            "floor-uvloop",
            "Python's floor on uvloop: the same loop",
            (PYTHON, _script("python_floor.py"), "--uvloop"),
        ),
        Contender("ours", "fraiseql-subs, passthrough", ours),
        Contender("ours-resolver", "fraiseql-subs, resolver", (*ours, "--resolver")),
        Contender("ours-batch", "fraiseql-subs, resolver with `batch=True`", (*ours, "--batch")),
        Contender("async-graphql", "async-graphql", (_binary("async_graphql"), *threads)),
        Contender("graphql-ws", "graphql-ws", ("node", _script("graphql_ws.mjs"))),
        Contender("mercurius", "Mercurius", ("node", _script("mercurius.mjs"))),
        Contender("strawberry", "Strawberry", (PYTHON, _script("strawberry_uvicorn.py"))),
        Contender("ariadne", "Ariadne", (PYTHON, _script("ariadne_uvicorn.py"))),
        Contender(
            "floor-redis",
            "floor over Redis, plain `PUBLISH`",
            (_binary("floor"),),
            (PYTHON, _script("plain_publisher.py")),
        ),
        Contender(
            "floor-redis-threads",
            "floor over Redis, events enter on another thread",
            (_binary("floor"), "--hand-over"),
            (PYTHON, _script("plain_publisher.py")),
        ),
        Contender(
            "floor-redis-asyncio",
            "floor over Redis on asyncio: redis-py, plain `PUBLISH`",
            (PYTHON, _script("python_floor.py")),
            (PYTHON, _script("plain_publisher.py")),
        ),
        Contender(
            "ours-redis",
            "fraiseql-subs over Redis",
            ours,
            (PYTHON, _script("ours_publisher.py")),
        ),
        Contender(
            "ours-redis-live",
            "fraiseql-subs over Redis, `history=None`",
            (*ours, "--no-history"),
            (PYTHON, _script("ours_publisher.py"), "--no-history"),
        ),
        Contender(
            "strawberry-redis",
            "Strawberry, Channels over Redis",
            (PYTHON, _script("strawberry_channels.py")),
            (PYTHON, _script("channels_publisher.py")),
        ),
        Contender(
            "graphql-redis",
            "graphql-redis-subscriptions, graphql-ws",
            ("node", _script("graphql_redis.mjs")),
            ("node", _script("graphql_redis_publisher.mjs")),
        ),
        Contender(
            "ours-nats",
            "fraiseql-subs over NATS, `history=None`",
            (*ours, "--no-history"),
            (PYTHON, _script("ours_publisher.py"), "--no-history"),
            NatsServer,
        ),
        Contender(
            "ours-jetstream",
            "fraiseql-subs over NATS, JetStream",
            ours,
            (PYTHON, _script("ours_publisher.py")),
            NatsServer,
        ),
        Contender(
            "ours-postgres",
            "fraiseql-subs over PostgreSQL, `fraiseql_subs.publish`",
            ours,
            (PYTHON, _script("sql_publisher.py")),
            PostgresServer,
        ),
        Contender(
            "ours-table",
            "fraiseql-subs over PostgreSQL, rows of a table",
            (*ours, "--table", TABLE),
            (PYTHON, _script("sql_publisher.py"), "--table", TABLE),
            partial(PostgresServer, "--table", TABLE, schema=SCHEMA),
        ),
        Contender(
            "ours-outbox",
            "fraiseql-subs over PostgreSQL, outbox",
            ours,
            (PYTHON, _script("sql_publisher.py")),
            postgres_server.OUTBOX,
        ),
        Contender(
            "graphql-nats",
            "graphql-ws over NATS, `nats`",
            ("node", _script("graphql_nats.mjs")),
            ("node", _script("nats_publisher.mjs")),
            NatsServer,
        ),
        Contender(
            "strawberry-postgres",
            "Strawberry over PostgreSQL, broadcaster",
            (PYTHON, _script("strawberry_postgres.py")),
            (PYTHON, _script("notify_publisher.py")),
            PostgresServer,
        ),
        Contender(
            "graphql-postgres",
            "graphql-ws over PostgreSQL, pg-listen",
            ("node", _script("graphql_postgres.mjs")),
            (PYTHON, _script("notify_publisher.py")),
            PostgresServer,
        ),
    ]


@dataclass(frozen=True)
class Running:
    """A server that serves.

    Attributes:
        pid: Its process.
        port: For clients.
        control: For who publishes.
        broker: The engine over which events come; None: none.
    """

    pid: int
    port: int
    control: int
    broker: Broker | None = None


@contextmanager
def running(contender: Contender) -> Iterator[Running]:
    """Run a server until the block ends, however it ends."""
    if not contender.publisher:
        port, control = _free_ports()
        options = ("--port", str(port), "--control", str(control))
        with _process(contender, options) as pid:
            yield Running(pid, port, control)
        return
    with ExitStack() as stack:
        engine = stack.enter_context(contender.engine())
        port, control = _free_ports()
        options = ("--port", str(port), "--bus", engine.bus)
        pid = stack.enter_context(_process(contender, options))
        broker = stack.enter_context(publishing(engine, contender.publisher, control))
        yield Running(pid, port, control, broker)


@contextmanager
def _process(contender: Contender, options: tuple[str, ...]) -> Iterator[int]:
    """Run the server's process; it serves."""
    command = [*contender.command, *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise SystemExit(f"{contender.name} does not start: {' '.join(command)}")
        yield process.pid
    finally:
        process.kill()
        process.communicate()


def _free_ports() -> tuple[int, int]:
    # Both at once, so that they differ.
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as other,
    ):
        return one.getsockname()[1], other.getsockname()[1]


def own_versions() -> dict[str, str]:
    """Read the versions of our servers and of the floor."""
    return {
        "Python": sys.version.split()[0],
        "rustc": _output("rustc", "--version").split()[1],
        "fraiseql-subs": version("fraiseql-subs"),
        **_crates("mio"),
    }


def versions() -> dict[str, str]:
    """Read which versions are measured."""
    found = {
        "Python": sys.version.split()[0],
        "Node.js": _output("node", "--version").removeprefix("v"),
        "rustc": _output("rustc", "--version").split()[1],
        "Redis": _output("redis-server", "--version").split("v=")[1].split()[0],
        "nats-server": _output(nats_server.program(), "--version").split(": v")[1],
        "PostgreSQL": _output(postgres_server.program("postgres"), "--version").split()[2],
        "fraiseql-subs": version("fraiseql-subs"),
    }
    for package in (*PYTHON_PACKAGES, *REDIS_PACKAGES, *ENGINE_PACKAGES):
        found[package] = version(package)
    for package in (*NPM_PACKAGES, *REDIS_NPM_PACKAGES, *ENGINE_NPM_PACKAGES):
        manifest = HERE / "node_modules" / package / "package.json"
        found[f"{package} (npm)"] = json.loads(manifest.read_text())["version"]
    return found | _crates("async-graphql", "actix-web", "mio", "tokio")


def _crates(*names: str) -> dict[str, str]:
    """Read the versions of crates of the peers."""
    crates = (HERE / "peers/Cargo.lock").read_text().split("[[package]]\n")
    found = {}
    for name in names:
        lines = next(c for c in crates if c.startswith(f'name = "{name}"\n')).splitlines()
        found[f"{name} (crate)"] = lines[1].split('"')[1]
    return found


def _output(*command: str) -> str:
    return subprocess.check_output(command, text=True).strip()
