"""A manager with an engine starts, ends and starts again; so does its process."""

from __future__ import annotations

import asyncio
import gc
import textwrap
import weakref

import pytest
from declared import node
from nodes import managers, take
from support import eventually, programs
from support.programs import finish, read_line
from support.redis_server import RedisServer, free_port

from fraiseql_subs import ManagerClosed, PublishError, SubscriptionManager

FEED = "subscription { feed }"


async def links(redis) -> int:
    """Return how many connections Redis has, without that of this call."""
    return (await redis.command("CLIENT", "LIST")).count("id=") - 1


async def test_a_manager_is_started_again_and_again(redis):
    manager = node(redis.url)
    async with node(redis.url) as other:
        for attempt in range(3):
            async with manager, manager.subscribe(FEED) as results:
                await other.publish("feed", attempt)
                await manager.publish("feed", attempt + 10)
                assert await take(results, 2) == [attempt, attempt + 10]
            with pytest.raises(ManagerClosed):
                await manager.publish("feed", 0)
            await other.publish("feed", 99)


def test_a_manager_is_used_on_one_event_loop_after_another(tmp_path):
    redis = RedisServer(tmp_path)
    manager: list[SubscriptionManager] = []

    async def use(number: int) -> None:
        async with redis:
            manager[:] = manager or [node(redis.url)]
            async with manager[0], manager[0].subscribe(FEED) as results:
                await manager[0].publish("feed", number)
                assert await take(results, 1) == [number]

    for number in range(3):
        asyncio.run(use(number))


async def test_a_manager_that_is_closed_leaves_no_connection(redis):
    for _ in range(3):
        async with managers(redis.url, 3) as each:
            for number, manager in enumerate(each):
                await manager.publish("feed", number)
            assert await links(redis) >= 3
        await eventually(lambda: _is_zero(redis), "all connections are closed")


async def _is_zero(redis) -> bool:
    return await links(redis) == 0


async def test_a_manager_that_is_dropped_is_freed_and_leaves_no_connection(redis):
    manager = node(redis.url)
    await manager.start()
    results = manager.subscribe(FEED)
    await results.__aenter__()
    await manager.publish("feed", 1)
    assert await take(results, 1) == [1]
    dropped = weakref.ref(manager)
    del manager, results

    def is_freed() -> bool:
        # A callback of the loop may still refer to it.
        gc.collect()
        return dropped() is None

    await eventually(is_freed, "the manager is freed")
    await eventually(lambda: _is_zero(redis), "all connections are closed")


async def test_subscriptions_end_when_their_manager_closes(redis):
    async with managers(redis.url) as (a, b):
        ended = a.subscribe(FEED)
        async with ended, b.subscribe(FEED) as goes_on:
            await b.publish("feed", 1)
            assert await take(ended, 1) == [1]
            await a.close()
            with pytest.raises(StopAsyncIteration):
                await anext(ended)
            await b.publish("feed", 2)
            assert await take(goes_on, 2) == [1, 2]


async def test_what_was_published_before_the_close_reaches_the_other_node(redis, within):
    async with node(redis.url) as b, b.subscribe(FEED) as results:
        a = node(redis.url)
        await a.start()
        under_way = [a.publish("feed", number) for number in range(100)]
        await a.close()
        receipts = await within(asyncio.gather(*under_way, return_exceptions=True))
        assert [getattr(receipt, "offset", receipt) for receipt in receipts] == list(range(1, 101))
        assert await take(results, 100) == list(range(100))


async def test_what_was_queued_before_the_close_reaches_the_other_node(redis):
    async with node(redis.url) as b, b.subscribe(FEED) as results:
        async with node(redis.url, on_unavailable="queue") as a:
            for number in range(100):
                assert (await a.publish("feed", number)).position is None
        assert await take(results, 100) == list(range(100))


async def test_a_close_ends_what_cannot_be_published_any_more(redis, within):
    async with node(redis.url) as a:
        await a.publish("feed", 0)
        redis.pause()
        under_way = [asyncio.ensure_future(_publish(a, number)) for number in range(10)]
        await asyncio.sleep(0)
        await within(a.close(drain=0.1))
        # The publishers receive an error instead of waiting for ever.
        for error in await within(asyncio.gather(*under_way, return_exceptions=True)):
            assert isinstance(error, PublishError | ManagerClosed), error
        redis.resume()


async def _publish(manager: SubscriptionManager, number: int) -> None:
    await manager.publish("feed", number)


async def test_many_managers_of_one_process_share_a_bus(redis):
    async with managers(redis.url, 20) as many:
        subscribers = []
        for manager in many:
            results = manager.subscribe(FEED)
            await results.__aenter__()
            subscribers.append(results)
        for number, manager in enumerate(many):
            await manager.publish("feed", number)
        for results in subscribers:
            assert await take(results, 20) == list(range(20))


async def test_threads_without_an_event_loop_publish(redis):
    async with managers(redis.url) as (a, b), b.subscribe(FEED) as results:

        def publish(start: int) -> list[int]:
            publications = [a.publish("feed", start), a.publish_many([("feed", start + 1)])]
            # The futures are done: their results are available without an event loop.
            first, (second,) = [_result(publication) for publication in publications]
            return [first.offset, second.offset]

        offsets = await asyncio.gather(
            *[asyncio.to_thread(publish, start) for start in (0, 10, 20)]
        )
        received = await take(results, 6)
        assert sorted(received) == [0, 1, 10, 11, 20, 21]
        for start, (first, second) in zip((0, 10, 20), offsets, strict=True):
            assert (received[first - 1], received[second - 1]) == (start, start + 1)


def _result(publication):
    try:
        publication.send(None)
    except StopIteration as stopped:
        return stopped.value
    raise AssertionError("it is not done")


async def test_threads_with_event_loops_of_their_own_publish(redis):
    async with managers(redis.url) as (a, b), b.subscribe(FEED) as results:

        async def publish() -> int:
            return (await a.publish("feed", 1)).offset

        offsets = await asyncio.gather(
            *[asyncio.to_thread(lambda: asyncio.run(publish())) for _ in range(4)]
        )
        assert sorted(offsets) == [1, 2, 3, 4]
        assert await take(results, 4) == [1] * 4


async def test_events_without_subscribers_are_published(redis):
    async with managers(redis.url) as (a, b):
        receipts = [await each.publish("none", number) for number in range(5) for each in (a, b)]
        assert [receipt.offset for receipt in receipts] == list(range(1, 11))
        query = 'subscription { anyChannel(channel: "none") }'
        after = {"resume": {"after": receipts[7].position}}
        async with b.subscribe(query, extensions=after) as results:
            assert await take(results, 2) == [4, 4]


async def test_a_cancelled_publisher_harms_no_other(redis):
    async with managers(redis.url) as (a, b), b.subscribe(FEED) as results:
        tasks = [asyncio.ensure_future(_publish(a, number)) for number in range(50)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await a.publish("feed", 99)
        received = []
        while 99 not in received:
            received += await take(results, 1)
        # Events that were not cancelled arrive in order; cancelled ones may arrive.
        assert [number for number in received if number % 2] == [*range(1, 50, 2), 99]
        assert received == sorted(received)


# Processes.

PRELUDE = """
import asyncio, os, sys, warnings
from pathlib import Path
from fraiseql_subs import ManagerClosed, SubscriptionManager, passthrough

feed = passthrough("feed", int, channel="feed")

def make():
    return SubscriptionManager([feed], bus=sys.argv[1], workers=1)

manager = make()
# Since 3.12 Python warns of forks in processes with threads, and the allocator has one.
warnings.simplefilter("ignore", DeprecationWarning)

def threads():
    names = [(task / "comm").read_text() for task in Path("/proc/self/task").iterdir()]
    return [name.strip() for name in names if name.startswith("fraiseql")]
"""


async def start(program: str, bus: str) -> asyncio.subprocess.Process:
    code = f"import sys; sys.argv = ['-c', {bus!r}]\n" + PRELUDE + textwrap.dedent(program)
    return await programs.start(code)


async def test_the_thread_of_the_link_ends_with_its_manager(redis):
    process = await start(
        """
        async def main():
            before = threads()
            async with manager, make() as other:
                await manager.publish("feed", 1)
                await other.publish("feed", 1)
                print(threads().count("fraiseql-bus"))
            print(threads() == before, threads())

        asyncio.run(main())
        """,
        redis.url,
    )
    assert await finish(process) == (0, "2\nTrue []\n", "")


ENDS = {
    "closed": "await manager.close(drain=0.1)",
    "closed in time": "await manager.close()",
    "left open": "pass",
    "dropped": "manager = stream = None",
    "sys.exit": "sys.exit(0)",
    "publishing": "[manager.publish('feed', n) for n in range(1000)]",
}

STATES = {"is there": None, "hangs": "pause", "is away": "kill"}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("state", STATES)
async def test_the_interpreter_ends_whatever_redis_does(end, state, redis):
    process = await start(
        f"""
        async def main():
            global manager
            await manager.start()
            stream = manager.subscribe("subscription {{ feed }}")
            await stream.__aenter__()
            await manager.publish("feed", 1)
            print("ready", flush=True)
            await asyncio.to_thread(sys.stdin.readline)
            {ENDS[end]}

        asyncio.run(main())
        print("ended", flush=True)
        """,
        redis.url,
    )
    assert await read_line(process) == "ready"
    action = STATES[state]
    if action == "pause":
        redis.pause()
    elif action == "kill":
        await redis.kill()
    assert process.stdin is not None
    process.stdin.write(b"\n")
    code, out, err = await finish(process)
    assert code == 0, err
    assert out == ("" if end == "sys.exit" else "ended\n")
    assert "Traceback" not in err and "panicked" not in err


async def test_the_interpreter_ends_where_redis_never_was():
    process = await start(
        """
        async def main():
            await manager.start()
            print("started")

        asyncio.run(main())
        """,
        f"redis://127.0.0.1:{free_port()}",
    )
    code, out, err = await finish(process)
    assert (code, out) == (0, "started\n")
    assert "Traceback" not in err and "panicked" not in err


async def test_a_forked_child_is_told_and_the_parent_goes_on(redis):
    process = await start(
        """
        import warnings
        warnings.simplefilter("ignore")

        async def main():
            async with manager, manager.subscribe("subscription { feed }") as stream:
                await manager.publish("feed", 1)
                child = os.fork()
                if child == 0:
                    try:
                        manager.publish("feed", 7)
                    except ManagerClosed as error:
                        print("os.fork()" in str(error), flush=True)
                    os._exit(0)
                os.waitpid(child, 0)
                await manager.publish("feed", 2)
                print([(await anext(stream)).data["feed"] for _ in range(2)])

        asyncio.run(main())
        """,
        redis.url,
    )
    assert await finish(process) == (0, "True\n[1, 2]\n", "")


async def test_a_forked_child_has_a_manager_of_its_own_on_the_same_bus(redis):
    process = await start(
        """
        import warnings
        warnings.simplefilter("ignore")

        async def child():
            async with make() as own:
                await own.publish("feed", 2)

        async def main():
            async with manager, manager.subscribe("subscription { feed }") as stream:
                await manager.publish("feed", 1)
                forked = os.fork()
                if forked == 0:
                    asyncio.events._set_running_loop(None)
                    asyncio.run(child())
                    os._exit(0)
                print([(await anext(stream)).data["feed"] for _ in range(2)])
                os.waitpid(forked, 0)

        asyncio.run(main())
        """,
        redis.url,
    )
    assert await finish(process) == (0, "[1, 2]\n", "")


async def test_a_manager_that_was_declared_before_a_fork_starts_in_the_children(redis):
    process = await start(
        """
        def child(number):
            async def publish():
                async with manager:
                    await manager.publish("feed", number)
            asyncio.run(publish())

        for number in range(3):
            if os.fork() == 0:
                child(number)
                os._exit(0)
        print([os.waitstatus_to_exitcode(os.wait()[1]) for _ in range(3)], flush=True)
        """,
        redis.url,
    )
    async with node(redis.url) as other, other.subscribe(FEED, extensions={"resume": {}}):
        assert await finish(process) == (0, "[0, 0, 0]\n", "")
        receipt = await other.publish("feed", 99)
        assert receipt.offset == 4
