"""The program of the processes of `fraiseql-subs serve --processes`.

`BUS` names the engine. If the file that `BROKEN` names is there, the module cannot be imported; if
that of `HANGING` is, its import never ends.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import worker_app

from fraiseql_subs import SubscriptionManager, passthrough, subscription

if Path(os.environ.get("BROKEN", "/dev/null/none")).exists():
    raise ValueError("the settings are broken")
if Path(os.environ.get("HANGING", "/dev/null/none")).exists():
    print("hanging", file=sys.stderr, flush=True)
    threading.Event().wait()


@subscription
async def endless() -> AsyncIterator[int]:
    yield 1
    await asyncio.Event().wait()


manager = SubscriptionManager(
    [passthrough("feed", int, channel="feed"), worker_app.worker, worker_app.published, endless],
    bus=os.environ["BUS"],
    workers=1,
)
memory = SubscriptionManager([passthrough("feed", int, channel="feed")])


async def stay() -> None:
    print(f"main {os.getpid()}", flush=True)
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        # As programs do that clean up.
        print(f"over {os.getpid()}", flush=True)


def run_forked(channel: Any) -> None:
    channel.send("runs")
    time.sleep(3600)


async def fork() -> None:
    """Fork a process, and have it end."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=run_forked, args=(theirs,))
    process.start()
    # Python forgets a signal that comes before the new process runs.
    await asyncio.to_thread(ours.recv)
    process.terminate()
    await asyncio.to_thread(process.join)
    print(f"forked {process.exitcode}", flush=True)
    await asyncio.Event().wait()


async def pass_by() -> None:
    """Return at once."""


async def fail() -> None:
    raise ValueError("the database is away")
