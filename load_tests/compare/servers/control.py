"""How a measured Python server is told to publish: lines on its standard input.

`burst N` publishes N events one after the other, `paced N` one in each 10 ms; each is answered by
`done`. The first line of output is the port.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable

PACE = 0.01
EVENT = {"id": 7, "userId": 3, "status": "PAID", "total": 12.5, "note": "x" * 120}


async def obey(port: int, publish: Callable[[], Awaitable[object]]) -> None:
    """Print the port, then do what the lines say until there are no more."""
    say(str(port))
    while line := await asyncio.to_thread(sys.stdin.readline):
        how, count = line.split()
        for _ in range(int(count)):
            await publish()
            await asyncio.sleep(PACE if how == "paced" else 0)
        say("done")


def say(text: str) -> None:
    """Write one line."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
