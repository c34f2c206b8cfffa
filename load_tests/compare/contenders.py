"""The servers that are compared: how each is started, and which versions it is made of.

Each is a process that takes `--port` and `--control`, serves the schema of `servers/control.py`
and prints `ready`. Not here: what is asked of them (scenarios.py).
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
PYTHON = sys.executable


@dataclass(frozen=True)
class Contender:
    """A server that can be measured.

    Attributes:
        name: How it is chosen on the command line.
        title: How tables call it.
        command: How it is started; ports are appended.
    """

    name: str
    title: str
    command: tuple[str, ...]


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
        Contender("ours", "fraiseql-subs, passthrough", ours),
        Contender("ours-resolver", "fraiseql-subs, resolver", (*ours, "--resolver")),
        Contender("async-graphql", "async-graphql", (_binary("async_graphql"), *threads)),
        Contender("graphql-ws", "graphql-ws", ("node", _script("graphql_ws.mjs"))),
        Contender("mercurius", "Mercurius", ("node", _script("mercurius.mjs"))),
        Contender("strawberry", "Strawberry", (PYTHON, _script("strawberry_uvicorn.py"))),
        Contender("ariadne", "Ariadne", (PYTHON, _script("ariadne_uvicorn.py"))),
    ]


@dataclass(frozen=True)
class Running:
    """A server that serves."""

    pid: int
    port: int
    control: int


@contextmanager
def running(contender: Contender) -> Iterator[Running]:
    """Run a server until the block ends, however it ends."""
    port, control = _free_ports()
    command = [*contender.command, "--port", str(port), "--control", str(control)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise SystemExit(f"{contender.name} does not start: {' '.join(command)}")
        yield Running(process.pid, port, control)
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


def versions() -> dict[str, str]:
    """Read which versions are measured."""
    found = {
        "Python": sys.version.split()[0],
        "Node.js": _output("node", "--version").removeprefix("v"),
        "rustc": _output("rustc", "--version").split()[1],
        "fraiseql-subs": version("fraiseql-subs"),
    }
    for package in ("strawberry-graphql", "ariadne", "graphql-core", "uvicorn", "uvloop"):
        found[package] = version(package)
    for package in ("graphql", "graphql-ws", "ws", "mercurius", "fastify"):
        manifest = HERE / "node_modules" / package / "package.json"
        found[f"{package} (npm)"] = json.loads(manifest.read_text())["version"]
    crates = (HERE / "peers/Cargo.lock").read_text().split("[[package]]\n")
    for package in ("async-graphql", "actix-web", "mio", "tokio"):
        lines = next(c for c in crates if c.startswith(f'name = "{package}"\n')).splitlines()
        found[f"{package} (crate)"] = lines[1].split('"')[1]
    return found


def _output(*command: str) -> str:
    return subprocess.check_output(command, text=True).strip()
