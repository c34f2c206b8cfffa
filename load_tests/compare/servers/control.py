"""How a measured Python server is started, and told what to publish.

It is given `--port` for clients and `--control` for who publishes: each line there is one event,
`{"channel": …, "data": …}`, published at once. It prints `ready` when it serves.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

SDL = """
    type Query { ok: Boolean }
    type Feed { sequence: Int! sentAt: Int! key: Int note: String! }
    type Subscription { feed(key: Int): Feed }
"""

BACKLOG = 16_384
"""Connections that may wait to be accepted (count): all clients of a scenario connect at once."""


def parser() -> argparse.ArgumentParser:
    """Make the parser of the options that every server has."""
    options = argparse.ArgumentParser()
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--control", type=int, required=True)
    return options


async def obey(port: int, publish: Callable[[str, dict[str, Any]], Awaitable[object]]) -> None:
    """Publish what comes in by the control port, until cancelled."""

    async def read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            event = json.loads(line)
            await publish(event["channel"], event["data"])
        writer.close()

    async with await asyncio.start_server(read, "127.0.0.1", port) as server:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await server.serve_forever()
