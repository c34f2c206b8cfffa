"""X10: programs end in time while their engine hangs, or is not there."""

from __future__ import annotations

import sys

import pytest
from support.programs import finish, start_command
from support.tcp_proxy import Admission, TcpProxy

pytestmark = pytest.mark.faults

BEFORE = """
import asyncio, os, sys, threading
from fraiseql_subs import *

manager = SubscriptionManager([passthrough("ticks", int, channel="ticks")], bus=sys.argv[1],
                              publish_timeout=3600.0)

async def begin():
    await manager.start()
    return asyncio.ensure_future(manager.publish("ticks", 1))
"""

ENDS = {
    "leaving the manager": """
async def main():
    async with manager:
        publishing = await begin()
        await asyncio.sleep(0.1)
    try:
        await publishing
    except (PublishError, ManagerClosed) as error:
        print(type(error).__name__)
asyncio.run(main())
""",
    "closing at once": """
async def main():
    publishing = await begin()
    await manager.close(drain=0.0)
    print(await asyncio.gather(publishing, return_exceptions=True))
asyncio.run(main())
""",
    "the end of the event loop": """
async def main():
    await begin()
asyncio.run(main())
""",
    "the end of the interpreter": """
asyncio.run(begin())
sys.exit(0)
""",
    "a dropped manager": """
async def main():
    global manager
    publishing = await begin()
    publishing.cancel()
    await asyncio.gather(publishing, return_exceptions=True)
    del manager
asyncio.run(main())
""",
    "a subscriber that waits": """
async def main():
    async with manager, manager.subscribe("subscription { ticks }") as results:
        waiting = asyncio.ensure_future(anext(results))
        await asyncio.sleep(0.1)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
asyncio.run(main())
""",
    "a fork": """
async def main():
    async with manager:
        publishing = await begin()
        child = os.fork()
        if child == 0:
            try:
                await manager.publish("ticks", 2)
            except FraiseQLSubsError:
                os._exit(0)
            os._exit(1)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        publishing.cancel()
        await asyncio.gather(publishing, return_exceptions=True)
asyncio.run(main())
""",
    "a server": """
async def main():
    async with manager.serve(port=0, drain=0.0):
        await begin()
asyncio.run(main())
""",
}

SLOW = pytest.mark.slow_fault

AFTER = """
import gc
gc.collect()
"""


@pytest.fixture(
    params=["hangs", *(pytest.param(one, marks=SLOW) for one in ("refuses", "goes silent"))]
)
async def url(request, redis, stack):
    proxy = await stack.enter_async_context(TcpProxy(redis.port))
    if request.param == "goes silent":
        redis.pause()
        stack.callback(redis.resume)
    else:
        await proxy.admit(Admission.HANG if request.param == "hangs" else Admission.REFUSE)
    return f"redis://127.0.0.1:{proxy.port}"


@pytest.mark.parametrize("end", ENDS)
async def test_a_program_ends(url, end):
    process = await start_command(sys.executable, "-c", BEFORE + ENDS[end] + AFTER, url)
    try:
        code, _, err = await finish(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    assert code == 0, err
    assert "panicked" not in err
    assert "Traceback" not in err
