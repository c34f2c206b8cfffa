"""However a block of a server is left, its port is closed then, and the manager can serve again.

The drains here last for hours unless something ends them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from support import PATIENCE, eventually

from fraiseql_subs import Drain, SubscriptionManager, passthrough
from fraiseql_subs.server import Server

HOUR = 3600
LONG = Drain(HOUR, ready_delay=HOUR, closes_per_second=0.001)
WITHOUT_DELAY = Drain(HOUR, closes_per_second=0.001)

Within = Callable[[Awaitable[Any]], Awaitable[Any]]

feed = passthrough("feed", int, channel="feed")


class Block:
    """A task inside `async with server`; another one waits in `wait_closed`."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.entered, self.leave = asyncio.Event(), asyncio.Event()
        self.task = asyncio.ensure_future(self.run())

    async def run(self) -> None:
        async with self.server:
            self.waiter = asyncio.ensure_future(self.server.wait_closed())
            self.entered.set()
            await self.leave.wait()


@contextlib.asynccontextmanager
async def inside(manager: SubscriptionManager, drain: Drain, port: int = 0):
    """Serve, and leave the block at the end, without waiting for the drain."""
    block = Block(manager.serve(port=port, drain=drain))
    try:
        await asyncio.wait_for(block.entered.wait(), PATIENCE)
        yield block
    finally:
        await cancel_often(block)
        block.waiter.cancel()
        await asyncio.wait([block.waiter])


async def answers(server: Server) -> bool:
    try:
        async with httpx.AsyncClient(timeout=PATIENCE) as http:
            response = await http.post(server.http_url, json={"query": "{ __typename }"})
    except httpx.ConnectError:
        return False
    return response.status_code == 200


async def is_over(manager: SubscriptionManager, server: Server) -> None:
    """Check that the port is closed, and that the next server is as the first one was."""
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(server.host, server.port)
    assert manager.is_ready()
    async with inside(manager, LONG, server.port) as block:
        assert await answers(block.server)
        block.server.close()
        await eventually(lambda: not manager.is_ready(), "it says so")
        for _ in range(10):
            assert await answers(block.server)
    assert manager.is_ready()


async def cancel_once(block: Block) -> None:
    block.task.cancel()


async def cancel_often(block: Block) -> None:
    while not block.task.done():
        block.task.cancel()
        await asyncio.sleep(0)


async def cancel_three_times(block: Block) -> None:
    for _ in range(3):
        block.task.cancel()
        await asyncio.sleep(0)


async def hurry(block: Block) -> None:
    block.server.hurry()
    block.leave.set()


async def announced(block: Block, manager: SubscriptionManager) -> None:
    """Clients are sent elsewhere, and the block goes on."""
    block.server.close()
    await eventually(lambda: not manager.is_ready(), "it says so")
    assert await answers(block.server)


async def left(block: Block, manager: SubscriptionManager) -> None:
    """The block is left while clients are sent elsewhere."""
    await announced(block, manager)
    block.leave.set()
    assert await answers(block.server)


async def left_at_once(block: Block, manager: SubscriptionManager) -> None:
    """The block is left, and clients are sent elsewhere since then."""
    block.leave.set()
    await eventually(lambda: not manager.is_ready(), "it says so")


async def draining(block: Block, manager: SubscriptionManager) -> None:
    """The drain closes one of two clients at once, and the other one much later."""
    block.leave.set()
    await eventually(lambda: len(manager.connections()) == 1, "one of the clients has left")


MOMENTS = [
    (announced, LONG, cancel_often),
    (announced, LONG, hurry),
    *(
        (moment, drain, end)
        for moment, drain in [(left, LONG), (left_at_once, LONG), (draining, WITHOUT_DELAY)]
        for end in [cancel_once, cancel_three_times, cancel_often, hurry]
    ),
]


@pytest.mark.parametrize(
    ("moment", "drain", "end"),
    [pytest.param(*one, id="-".join((one[0].__name__, one[2].__name__))) for one in MOMENTS],
)
async def test_a_server_that_is_left_has_ended(moment, drain, end, connect, within: Within):
    async with SubscriptionManager([feed]) as manager:
        async with inside(manager, drain) as block:
            clients = [await connect(block.server.url) for _ in range(2)]
            await moment(block, manager)
            await end(block)
            await within(asyncio.wait([block.task]))
            assert block.task.cancelled() is (end is not hurry)
            await within(block.waiter)
            await is_over(manager, block.server)
        for client in clients:
            await client.expect_close(1001)


@pytest.mark.parametrize("drain", [LONG, WITHOUT_DELAY])
async def test_an_exception_in_the_block_is_raised_once_the_server_has_ended(drain):
    async with SubscriptionManager([feed]) as manager:
        with pytest.raises(ZeroDivisionError):
            async with manager.serve(port=0, drain=drain) as server:
                server.hurry()
                raise ZeroDivisionError
        await is_over(manager, server)


async def test_stop_accepting_that_is_cancelled_needs_no_delay(within: Within):
    async with SubscriptionManager([feed]) as manager:
        async with manager.serve(port=0, drain=LONG) as server:
            stopping = asyncio.ensure_future(server.stop_accepting())
            await asyncio.sleep(0)
            stopping.cancel()
            await asyncio.wait([stopping])
            server.close()
            await within(server.wait_closed())
        await is_over(manager, server)


async def test_stop_accepting_ends_the_delay(within: Within):
    async with SubscriptionManager([feed]) as manager, inside(manager, LONG) as block:
        await announced(block, manager)
        await within(block.server.stop_accepting())
        block.leave.set()
        await within(block.task)
        await is_over(manager, block.server)


async def test_a_server_that_is_left_while_its_manager_closes_waits_for_that(connect, within):
    """Both are cancelled, and the one that ends first lets the other end at once as well."""
    async with contextlib.AsyncExitStack() as stack:
        manager = await stack.enter_async_context(SubscriptionManager([feed]))
        block = await stack.enter_async_context(inside(manager, WITHOUT_DELAY))
        for _ in range(2):
            await connect(block.server.url)
        closing = asyncio.ensure_future(manager.close(drain=WITHOUT_DELAY))
        await eventually(lambda: len(manager.connections()) == 1, "one of the clients has left")
        block.leave.set()
        assert not await answers(block.server)
        assert not block.task.done()
        block.task.cancel()
        await within(asyncio.wait([block.task, closing]))
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(block.server.host, block.server.port)
        # Nothing has cancelled this one.
        closing.result()


async def test_a_manager_that_closes_while_its_server_is_left_stays_hurried(connect, within):
    async with contextlib.AsyncExitStack() as stack:
        manager = await stack.enter_async_context(SubscriptionManager([feed]))
        results = await stack.enter_async_context(manager.subscribe("subscription { feed }"))
        block = await stack.enter_async_context(inside(manager, WITHOUT_DELAY))
        for _ in range(2):
            await connect(block.server.url)
        await draining(block, manager)
        closing = asyncio.ensure_future(manager.close(drain=LONG))
        await asyncio.sleep(0)
        block.task.cancel()
        await within(asyncio.wait([block.task, closing]))
        assert block.task.cancelled()
        closing.result()
        assert [result async for result in results] == []


async def test_what_waits_for_the_end_of_a_server_does_not_announce_that_of_the_next():
    async with SubscriptionManager([feed]) as manager:
        server = manager.serve(port=0, drain=Drain(0, ready_delay=0))
        async with server:
            late = asyncio.ensure_future(server.wait_closed())
            await asyncio.sleep(0)
        async with server:
            await late
            assert manager.is_ready()


async def test_a_request_before_the_entry_is_for_that_entry_alone(within: Within):
    async with SubscriptionManager([feed]) as manager:
        server = manager.serve(port=0)
        server.close()
        async with server:
            await within(server.wait_closed())
        async with server:
            waiting = asyncio.ensure_future(server.wait_closed())
            assert await answers(server)
            assert not waiting.done() and manager.is_ready()
        await within(waiting)


async def test_a_server_that_was_left_does_not_hurry_the_next():
    async with SubscriptionManager([feed]) as manager:
        async with manager.serve(port=0) as server:
            pass
        server.hurry()
        await is_over(manager, server)


@pytest.mark.parametrize("is_over_first", [False, True])
async def test_the_shortest_delay_counts(is_over_first, within: Within):
    """A manager that is closed while its server sends clients elsewhere, or after it did."""
    manager = SubscriptionManager([feed])
    first, second = (0.01, HOUR) if is_over_first else (HOUR, 0)
    async with manager.serve(port=0, drain=Drain(1, ready_delay=first)) as server:
        waiting = asyncio.ensure_future(server.wait_closed())
        server.close()
        if is_over_first:
            await within(waiting)
        else:
            await eventually(lambda: not manager.is_ready(), "it says so")
        await within(manager.close(drain=Drain(1, ready_delay=second)))
        await within(waiting)
