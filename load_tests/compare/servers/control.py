"""How a measured Python server is started, and told what to publish.

It is given `--port` for clients and `--control` for who publishes: each line there is one event,
`{"channel": …, "data": …}`, published at once. It prints `ready` when it serves.

Over an engine these are two processes: a server with `--port` and `--bus`, and a publisher with
`--control` and `--bus`. When its input ends, the publisher prints as JSON how many events it has
published, and how long the calls took in which it did that (ms).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

SDL = """
    type Query { ok: Boolean }
    type Feed { sequence: Int! sentAt: Int! key: Int note: String! }
    type Subscription { feed(key: Int): Feed  snapshot: Feed }
"""

SNAPSHOT: dict[str, Any] = {"sequence": 0, "sentAt": 0, "key": None, "note": "x" * 90}
"""What a subscription of `snapshot` gets at once; no event follows."""

BACKLOG = 16_384
"""Connections that may wait to be accepted (count): all clients of a scenario connect at once."""


def parser() -> argparse.ArgumentParser:
    """Make the parser of the options that every server has."""
    options = argparse.ArgumentParser()
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--control", type=int)
    options.add_argument("--bus")
    return options


def publisher_parser() -> argparse.ArgumentParser:
    """Make the parser of the options that every publisher over an engine has."""
    options = argparse.ArgumentParser()
    options.add_argument("--control", type=int, required=True)
    options.add_argument("--bus", required=True)
    return options


def print_ready() -> None:
    """Print that it serves."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()


async def obey(port: int, publish: Callable[[str, dict[str, Any]], Awaitable[object]]) -> None:
    """Publish what comes in by the control port, until cancelled."""

    async def read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            event = json.loads(line)
            await publish(event["channel"], event["data"])
        writer.close()

    async with await asyncio.start_server(read, "127.0.0.1", port) as server:
        print_ready()
        await server.serve_forever()


async def relay(port: int, publish: Callable[[list[dict[str, Any]]], Awaitable[object]]) -> None:
    """Publish the lines of the control port until the input ends, then print their number.

    Lines that arrive while a batch is being published are the next batch.
    """
    published, times = 0, []
    publishing = asyncio.Lock()

    async def read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal published
        rest = b""
        while received := await reader.read(1 << 16):
            *lines, rest = (rest + received).split(b"\n")
            if lines:
                events = [json.loads(line) for line in lines]
                async with publishing:
                    start = time.perf_counter()
                    await publish(events)
                    times.append((time.perf_counter() - start) * 1e3)
                    published += len(lines)
        writer.close()

    async with await asyncio.start_server(read, "127.0.0.1", port):
        print_ready()
        await asyncio.to_thread(sys.stdin.read)
        # Subscribers may have an event before it is counted.
        async with publishing:
            found: dict[str, Any] = {"events": published}
    if times:
        times.sort()
        found |= {"p50": times[len(times) // 2], "p99": times[len(times) * 99 // 100]}
    sys.stdout.write(json.dumps(found) + "\n")
