"""`async with manager` inside `async with manager`: the last one that leaves closes it."""

from __future__ import annotations

import asyncio
import contextlib

import httpx
import pytest
from support import PATIENCE, eventually
from support.applications import APPLICATIONS, alive

from fraiseql_subs import Context, ManagerClosed, SubscriptionManager, passthrough, subscription


def make_manager() -> SubscriptionManager:
    return SubscriptionManager([passthrough("feed", int, channel="feed")])


async def publishes(manager: SubscriptionManager) -> bool:
    try:
        await manager.publish("feed", 1)
    except ManagerClosed:
        return False
    return True


async def enter(manager: SubscriptionManager) -> None:
    """Use the manager as a helper does that does not know whether it runs."""
    async with manager:
        await manager.publish("feed", 1)


async def test_a_nested_enter_leaves_the_manager_open():
    manager = make_manager()
    async with manager:
        async with manager, manager:
            pass
        assert await publishes(manager)
        await enter(manager)
        assert await publishes(manager)
    assert not await publishes(manager)


async def test_of_tasks_that_overlap_the_last_one_closes_it():
    manager = make_manager()
    inside, leave = asyncio.Event(), asyncio.Event()

    async def first() -> None:
        async with manager:
            inside.set()
            await leave.wait()

    async def second() -> None:
        async with manager:
            leave.set()
            await starter
            assert await publishes(manager)

    starter = asyncio.create_task(first())
    await inside.wait()
    await asyncio.create_task(second())
    assert not await publishes(manager)


async def test_an_exception_counts_as_leaving():
    manager = make_manager()
    async with manager:
        with contextlib.suppress(ZeroDivisionError):
            async with manager:
                raise ZeroDivisionError
        assert await publishes(manager)
    assert not await publishes(manager)


async def test_a_manager_that_was_started_by_hand_is_left_open():
    manager = make_manager()
    await manager.start()
    await enter(manager)
    assert await publishes(manager)
    await manager.close()
    assert not await publishes(manager)


async def test_a_helper_leaves_the_manager_of_a_server_open():
    manager = make_manager()
    async with manager.serve(port=0) as server, httpx.AsyncClient() as client:
        await enter(manager)
        health = await client.get(server.http_url.replace("/graphql", "/health"))
        assert health.status_code == 200
    assert not await publishes(manager)


async def test_a_server_leaves_a_manager_open_in_which_another_task_is():
    manager = make_manager()
    inside, leave = asyncio.Event(), asyncio.Event()

    async def stay() -> None:
        async with manager:
            inside.set()
            await leave.wait()

    async with manager.serve(port=0):
        staying = asyncio.create_task(stay())
        await inside.wait()
    assert await publishes(manager)
    leave.set()
    await staying
    assert not await publishes(manager)


@APPLICATIONS
async def test_a_handler_leaves_the_manager_of_an_application_open(make_app):
    manager = make_manager()
    async with alive(make_app(manager)) as client:
        # Also before a client has started it.
        await enter(manager)
        response = await client.post("http://x/", json={"query": "{ __typename }"})
        assert response.json() == {"data": {"__typename": "Query"}}
        await enter(manager)
        assert await publishes(manager)
    assert not await publishes(manager)


async def test_a_resolver_that_enters_while_the_manager_closes_does_not_hold_it():
    entering = asyncio.Event()
    closing = asyncio.Event()

    @subscription(channel="feed")
    async def nested(event, context: Context) -> int:
        entering.set()
        await closing.wait()
        async with manager:
            return event.data

    manager = SubscriptionManager([nested])
    async with manager.subscribe("subscription { nested }") as results:
        await manager.publish("feed", 7)
        await entering.wait()
        ending = asyncio.create_task(manager.close(drain=PATIENCE))
        closing.set()
        assert [result.data async for result in results] == [{"nested": 7}]
        await ending


async def test_after_close_inside_it_may_be_entered_again():
    manager = make_manager()
    async with manager:
        await manager.close()
        async with manager:
            assert await publishes(manager)
        assert not await publishes(manager)
        await manager.start()
    # It was started explicitly after a close: leaving an earlier block does not end it.
    assert await publishes(manager)
    await manager.close()


async def test_the_same_manager_is_entered_on_one_loop_after_another():
    manager = make_manager()

    async def program() -> None:
        async with manager:
            await enter(manager)
            assert await publishes(manager)
        assert not await publishes(manager)

    for _ in range(2):
        await asyncio.to_thread(lambda: asyncio.run(program()))


async def test_an_enter_that_is_refused_leaves_the_manager_to_its_owner():
    manager = make_manager()

    async def elsewhere() -> None:
        with pytest.raises(Exception, match="event loop of another thread"):
            await enter(manager)

    async with manager:
        await asyncio.to_thread(lambda: asyncio.run(elsewhere()))
        assert await publishes(manager)
    await eventually(lambda: not manager.metrics().connections, "nothing is left")
    assert not await publishes(manager)


async def test_the_error_of_a_closed_manager_advises_one_entry_for_the_program():
    manager = make_manager()
    await enter(manager)
    with pytest.raises(ManagerClosed) as told:
        await manager.publish("feed", 1)
    assert "one `async with manager`" in str(told.value)
    assert "start()" in str(told.value)
