"""SIGTERM and Ctrl-C in programs as users write them: they drain, then end."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import textwrap
from asyncio.subprocess import Process

import psutil
import pytest
from support import programs
from support.programs import finish, read_line
from support.protocol_client import ProtocolClient

PRELUDE = """
from collections.abc import AsyncIterator
import asyncio, os, signal, sys, time
from fraiseql_subs import ConfigurationError, SubscriptionManager, passthrough, subscription

feed = passthrough("feed", int, channel="feed")

@subscription
async def ticks() -> AsyncIterator[int]:
    yield 0
    print("ticks", flush=True)
    await asyncio.Event().wait()

manager = SubscriptionManager([feed, ticks])
"""

SIGNALS = pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"]
)


async def start(program: str, *before: str) -> Process:
    return await programs.start(PRELUDE + textwrap.dedent(program), *before)


async def subscriber(url: str, query: str = "subscription { feed }") -> ProtocolClient:
    client = await ProtocolClient.connect(url.split()[-1])
    await client.init()
    await client.subscribe(query)
    return client


async def test_a_program_that_only_publishes_drains_at_sigterm():
    """The smallest program of the documents."""
    process = await start(
        """
        async def main():
            async with manager.serve(port=0) as server:
                print(server.url, flush=True)
                for n in range(1000):
                    await manager.publish("feed", n)
                    await asyncio.sleep(1)
            print("never")

        asyncio.run(main())
        """
    )
    client = await subscriber(await read_line(process))
    process.send_signal(signal.SIGTERM)
    await client.expect_close(1001)
    assert await finish(process) == (0, "", "")


WAITING = """
async def main():
    async with manager.serve(port=0) as server:
        print(server.url, flush=True)
        await server.wait_closed()
        print("closing", flush=True)
    print("closed", flush=True)
    for number in (signal.SIGTERM, signal.SIGINT):
        print(signal.getsignal(number) is before[number])

before = {signal.SIGTERM: signal.getsignal(signal.SIGTERM)}

async def noted():
    before[signal.SIGINT] = signal.getsignal(signal.SIGINT)
    await main()

"""


@SIGNALS
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_wait_closed_returns_and_the_handlers_before_are_restored(number, loop):
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    process = await start(f"{WAITING}\nimport {loop}\n{loop}.run(noted())")
    client = await subscriber(await read_line(process))
    process.send_signal(number)
    await client.expect_close(1001)
    assert await finish(process) == (0, "closing\nclosed\nTrue\nTrue\n", "")


async def test_a_server_may_be_closed_by_the_program_and_by_its_manager():
    process = await start(
        """
        async def main():
            async with manager.serve(port=0) as server:
                asyncio.get_running_loop().call_soon(server.close)
                await server.wait_closed()
                await server.wait_closed()
            async with manager.serve(port=0) as server:
                closing = asyncio.create_task(manager.close())
                await server.wait_closed()
                await closing
            await server.wait_closed()
            print("closed")

        asyncio.run(main())
        """
    )
    assert await finish(process) == (0, "closed\n", "")


ENDLESS = """
async def main():
    async with manager.serve(port=0, drain=600) as server:
        print(server.url, flush=True)
        await server.wait_closed()

asyncio.run(main())
"""


@SIGNALS
async def test_a_second_signal_ends_the_drain(number):
    process = await start(ENDLESS)
    url = await read_line(process)
    client = await subscriber(url, "subscription { ticks }")
    other = await subscriber(url)
    assert await read_line(process) == "ticks"
    process.send_signal(number)
    # The drain has begun, and waits for the stream.
    await other.expect_close(1001)
    process.send_signal(number)
    assert await client.receive_data() == {"ticks": 0}
    await client.expect_close(1001)
    assert await finish(process) == (0, "", "")


async def test_a_signal_ends_a_program_whose_server_runs_in_a_task_of_its_own():
    process = await start(
        """
        async def serving():
            async with manager.serve(port=0) as server:
                print(server.url, flush=True)
                await asyncio.Event().wait()

        async def main():
            try:
                await asyncio.gather(serving(), asyncio.Event().wait())
            finally:
                print("cleaned up", flush=True)

        asyncio.run(main())
        """
    )
    client = await subscriber(await read_line(process))
    process.send_signal(signal.SIGTERM)
    await client.expect_close(1001)
    assert await finish(process) == (0, "cleaned up\n", "")


async def test_two_servers_of_one_program_end_together():
    process = await start(
        """
        other = SubscriptionManager([feed])

        async def main():
            async with manager.serve(port=0) as server, other.serve(port=0) as second:
                print(server.url, flush=True)
                print(second.url, flush=True)
                await asyncio.Event().wait()

        asyncio.run(main())
        """
    )
    clients = [await subscriber(await read_line(process)) for _ in range(2)]
    process.send_signal(signal.SIGTERM)
    for client in clients:
        await client.expect_close(1001)
    assert await finish(process) == (0, "", "")


@pytest.mark.parametrize(
    "install",
    ["signal.signal(signal.SIGTERM, lambda *_: told())", "loop.add_signal_handler(15, told)"],
    ids=["signal", "event loop"],
)
async def test_a_program_that_handles_sigterm_keeps_its_handler(install):
    process = await start(
        f"""
        async def main():
            loop = asyncio.get_running_loop()
            ended = asyncio.Event()
            def told():
                print("mine", flush=True)
                loop.call_soon_threadsafe(ended.set)
            {install}
            handler = signal.getsignal(signal.SIGTERM)
            async with manager.serve(port=0) as server:
                assert signal.getsignal(signal.SIGTERM) is handler
                print(server.url, flush=True)
                await ended.wait()
            assert signal.getsignal(signal.SIGTERM) is handler

        asyncio.run(main())
        """
    )
    client = await subscriber(await read_line(process))
    process.send_signal(signal.SIGTERM)
    await client.expect_close(1001)
    assert await finish(process) == (0, "mine\n", "")


async def test_a_handler_that_is_installed_later_is_not_taken_away():
    process = await start(
        """
        async def main():
            async with manager.serve(port=0) as server:
                signal.signal(signal.SIGTERM, mine)
            assert signal.getsignal(signal.SIGTERM) is mine

        def mine(number, frame):
            pass

        asyncio.run(main())
        """
    )
    assert await finish(process) == (0, "", "")


async def test_a_server_on_another_thread_touches_no_handler():
    process = await start(
        """
        import threading

        async def main():
            async with manager.serve(port=0):
                print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)

        thread = threading.Thread(target=lambda: asyncio.run(main()))
        thread.start()
        thread.join()
        """
    )
    assert await finish(process) == (0, "True\n", "")


async def test_a_signal_after_the_event_loop_has_ended_ends_the_program_as_any():
    process = await start(
        """
        async def main():
            global server
            server = manager.serve(port=0)
            await server.__aenter__()

        asyncio.run(main())
        print("ended", flush=True)
        while True:
            time.sleep(0.01)
        """
    )
    assert await read_line(process) == "ended"
    process.send_signal(signal.SIGTERM)
    assert (await finish(process))[0] == -signal.SIGTERM


async def test_a_forked_child_ends_at_sigterm_as_any_process():
    process = await start(
        """
        import warnings
        warnings.simplefilter("ignore")

        async def main():
            async with manager.serve(port=0):
                ready, begun = os.pipe()
                child = os.fork()
                if child == 0:
                    # Python drops the signals that come while it forks.
                    os.write(begun, b"!")
                    while True:
                        time.sleep(0.01)
                os.read(ready, 1)
                os.kill(child, signal.SIGTERM)
                print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

        asyncio.run(main())
        """
    )
    assert await finish(process) == (0, "-15\n", "")


def can_be_first_process() -> bool:
    if sys.platform != "linux" or not shutil.which("unshare"):
        return False
    command = ["unshare", "--pid", "--fork", "true"]
    return subprocess.run(command, capture_output=True).returncode == 0


@pytest.mark.skipif(not can_be_first_process(), reason="no namespace of processes may be made")
async def test_the_first_process_of_a_container_drains_at_sigterm():
    process = await start(
        """
        print(os.getpid(), flush=True)
        manager.run(port=0)
        """,
        *("unshare", "--pid", "--fork", "--kill-child"),
    )
    assert await read_line(process) == "1"
    client = await subscriber(await read_line(process))
    (child,) = psutil.Process(process.pid).children()
    child.terminate()
    await client.expect_close(1001)
    assert await finish(process) == (0, "", "")


@SIGNALS
@pytest.mark.parametrize("form", ["main", "main()"], ids=["function", "coroutine"])
async def test_main_of_run_is_cancelled_before_the_drain(number, form):
    process = await start(
        f"""
        async def main():
            await manager.publish("feed", 1)
            try:
                await asyncio.Event().wait()
            finally:
                await manager.publish("feed", 2)

        manager.run(port=0, main={form})
        print("after")
        """
    )
    client = await subscriber(await read_line(process))
    process.send_signal(number)
    assert await client.receive_data() == {"feed": 2}
    await client.expect_close(1001)
    assert await finish(process) == (0, "after\n", "")


async def test_an_exception_of_main_ends_run_and_is_raised():
    process = await start(
        """
        async def main():
            await asyncio.to_thread(sys.stdin.readline)
            raise ValueError("mine")

        try:
            manager.run(port=0, main=main)
        except ValueError as error:
            print(error)
        """
    )
    client = await subscriber(await read_line(process))
    process.stdin.write(b"\n")
    await client.expect_close(1001)
    assert await finish(process) == (0, "mine\n", "")


async def test_run_ends_when_main_returns():
    process = await start(
        """
        async def main():
            await asyncio.to_thread(sys.stdin.readline)

        manager.run(port=0, main=main)
        print("after")
        """
    )
    client = await subscriber(await read_line(process))
    process.stdin.write(b"\n")
    await client.expect_close(1001)
    assert await finish(process) == (0, "after\n", "")


@pytest.mark.parametrize("main", ["print", "7", "lambda: 7"])
async def test_what_cannot_be_awaited_is_no_main(main):
    process = await start(
        f"""
        try:
            manager.run(port=0, main={main})
        except ConfigurationError as error:
            print(str(error).splitlines()[-1][:5], "cannot be awaited" in str(error))
        """
    )
    code, out, err = await finish(process)
    assert (code, err) == (0, "") and out.endswith("main= True\n")


async def test_main_is_not_left_unawaited_where_the_server_cannot_listen():
    process = await start(
        """
        import socket
        taken = socket.create_server(("127.0.0.1", 0))

        async def main():
            pass

        try:
            manager.run(port=taken.getsockname()[1], main=main())
        except ConfigurationError as error:
            print("cannot listen" in str(error))
        """
    )
    assert await finish(process) == (0, "True\n", "")


@SIGNALS
async def test_a_second_signal_ends_the_clean_up_of_main_and_the_drain(number):
    process = await start("""
        async def main():
            try:
                await asyncio.Event().wait()
            finally:
                print("cleaning", flush=True)
                await asyncio.sleep(3600)
        manager.run(port=0, drain=3600, main=main)
        print("after run", flush=True)
    """)
    client = await subscriber(await read_line(process), "subscription { ticks }")
    assert await client.receive_data() == {"ticks": 0}
    assert await read_line(process) == "ticks"
    process.send_signal(number)
    assert await read_line(process) == "cleaning"
    process.send_signal(number)
    await client.expect_close(1001)
    code, out, _ = await finish(process)
    assert (code, out) == (0, "after run\n")


async def test_run_ends_although_main_ignores_every_cancellation():
    process = await start("""
        async def main():
            while True:
                try:
                    await asyncio.sleep(3600)
                except asyncio.CancelledError:
                    print("swallowed", flush=True)
        manager.run(port=0, drain=0.2, main=main)
        print("after run", flush=True)
    """)
    await read_line(process)
    process.send_signal(signal.SIGTERM)
    code, out, err = await finish(process)
    assert code == 0
    assert out == "swallowed\nswallowed\nafter run\n"
    assert "main has not ended" in err


async def test_a_main_that_does_not_end_does_not_keep_the_server_from_draining():
    process = await start(
        """
        async def main():
            for _ in range(2):
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    print("not yet", flush=True)

        manager.run(port=0, main=main, drain=0.05)
        """
    )
    client = await subscriber(await read_line(process))
    process.send_signal(signal.SIGTERM)
    await client.expect_close(1001)
    assert await finish(process) == (0, "not yet\nnot yet\n", "")
