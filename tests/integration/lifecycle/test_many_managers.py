"""Many managers in a process, one after the other, use no more memory than one."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref

from support import PATIENCE

from fraiseql_subs import SubscriptionManager, passthrough

PROGRAM = """
import asyncio, gc, re
from fraiseql_subs import SubscriptionManager, passthrough

def memory():
    with open("/proc/self/status") as status:
        return int(re.search(r"VmRSS:\\s+(\\d+)", status.read())[1]) / 1024

async def one():
    feed = passthrough("feed", int, channel="feed")
    async with SubscriptionManager([feed], workers=1) as manager:
        await manager.publish("feed", 1)

async def main():
    # The collector frees cycles when it likes: there are none.
    gc.disable()
    for _ in range(5):
        await one()
    before = memory()
    for _ in range(100):
        await one()
    print(memory() - before)

asyncio.run(main())
"""


def test_managers_that_were_closed_take_no_memory():
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=3 * PATIENCE
    )
    assert ended.returncode == 0, ended.stderr
    # The page for browsers alone is 1.6 MiB.
    assert float(ended.stdout) < 15


async def test_a_manager_that_is_dropped_is_freed_at_once():
    manager = SubscriptionManager([passthrough("feed", int, channel="feed")])
    async with manager:
        await manager.publish("feed", 1)
    dropped = weakref.ref(manager)
    gc.disable()
    try:
        del manager
        assert dropped() is None
    finally:
        gc.enable()
