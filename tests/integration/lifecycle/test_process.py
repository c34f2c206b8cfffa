"""Signals, forks and the end of a process: programs as users write them."""

from __future__ import annotations

import signal
import sys
import textwrap
from asyncio.subprocess import Process

import pytest
from support import programs
from support.programs import finish, read_line
from support.subscribing_command import subscribing

PRELUDE = """
import asyncio, os, sys
from fraiseql_subs import ManagerClosed, SubscriptionManager, passthrough, subscription

feed = passthrough("feed", int, channel="feed")
manager = SubscriptionManager([feed])
"""


async def start(program: str) -> Process:
    return await programs.start(PRELUDE + textwrap.dedent(program))


async def run(program: str) -> tuple[int, str, str]:
    return await finish(await start(program))


SERVE = """
async def main():
    async with manager.serve(port=0) as server:
        print(server.url, flush=True)
        await asyncio.Event().wait()

{entry}
"""

IGNORE_CTRL_C = """
try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("interrupted")
"""


async def test_ctrl_c_ends_asyncio_run_with_a_client_connected(connect):
    process = await start(SERVE.format(entry=IGNORE_CTRL_C))
    url = await read_line(process)
    client = await connect(url)
    await client.subscribe("subscription { feed }")
    process.send_signal(signal.SIGINT)
    await client.expect_close(1001)
    assert await finish(process) == (0, "interrupted\n", "")


async def test_an_uncaught_ctrl_c_ends_the_program_as_usual():
    process = await start(SERVE.format(entry="asyncio.run(main())"))
    await read_line(process)
    process.send_signal(signal.SIGINT)
    code, _, err = await finish(process)
    assert code == -signal.SIGINT
    assert err.rstrip().endswith("KeyboardInterrupt")
    assert "panicked" not in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
async def test_run_serves_until_a_signal(number, connect):
    process = await start("manager.run(port=0)")
    url = (await read_line(process)).split()[-1]
    client = await connect(url)
    process.send_signal(number)
    await client.expect_close(1001)
    assert await finish(process) == (0, "", "")


LIVE = """
async def main():
    server = await manager.serve(port=0).__aenter__()
    print(server.url, flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    stream = manager.subscribe("subscription {{ feed }}")
    await stream.__aenter__()
    {last}

asyncio.run(main())
{after}
"""


@pytest.mark.parametrize(
    ("last", "after", "code"),
    [
        ("pass", "", 0),
        ("pass", "sys.exit(3)", 3),
        ("pass", "del manager", 0),
        ("[await manager.publish('feed', n) for n in range(1000)]", "", 0),
    ],
    ids=["end of the script", "sys.exit", "manager deleted", "events under way"],
)
async def test_the_interpreter_ends_with_live_connections_and_nothing_closed(
    last, after, code, connect
):
    process = await start(LIVE.format(last=last, after=after))
    client = await connect(await read_line(process))
    await client.subscribe("subscription { feed }")
    process.stdin.write(b"\n")
    assert await finish(process) == (code, "", "")


async def test_an_exception_in_main_ends_the_program_with_its_traceback(connect):
    process = await start(LIVE.format(last='raise ValueError("mine")', after=""))
    client = await connect(await read_line(process))
    await client.subscribe("subscription { feed }")
    process.stdin.write(b"\n")
    code, _, err = await finish(process)
    assert code == 1
    assert err.startswith("Traceback")
    assert err.endswith("ValueError: mine\n")


async def test_the_interpreter_ends_while_resolvers_run():
    assert await run(
        """
        entered = None

        @subscription(channel="feed")
        async def slow(event) -> int:
            entered.set()
            await asyncio.Event().wait()

        async def main():
            global entered, slow_manager
            entered = asyncio.Event()
            slow_manager = SubscriptionManager([slow])
            await slow_manager.start()
            stream = slow_manager.subscribe("subscription { slow }")
            await stream.__aenter__()
            await slow_manager.publish("feed", 1)
            await entered.wait()

        asyncio.run(main())
        print("done")
        """
    ) == (0, "done\n", "")


async def test_a_forked_child_gets_a_clear_error_and_the_parent_goes_on():
    code, out, err = await run(
        """
        import warnings
        warnings.simplefilter("ignore")

        async def main():
            async with manager:
                child = os.fork()
                if child == 0:
                    try:
                        manager.publish("feed", 1)
                    except ManagerClosed as error:
                        print(error, flush=True)
                    os._exit(0)
                os.waitpid(child, 0)
                async with manager.subscribe("subscription { feed }") as stream:
                    await manager.publish("feed", 2)
                    print((await anext(stream)).data)

        asyncio.run(main())
        """
    )
    assert (code, err) == (0, "")
    child, parent = out.splitlines()
    assert "os.fork()" in child and "make one in the child" in child
    assert parent == "{'feed': 2}"


async def test_a_forked_child_may_have_a_manager_of_its_own():
    assert await run(
        """
        import warnings
        warnings.simplefilter("ignore")

        async def one(manager):
            async with manager:
                async with manager.subscribe("subscription { feed }") as stream:
                    await manager.publish("feed", 2)
                    print((await anext(stream)).data, flush=True)

        asyncio.run(one(manager))
        child = os.fork()
        if child == 0:
            asyncio.run(one(SubscriptionManager([feed])))
            sys.exit(0)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status))
        """
    ) == (0, "{'feed': 2}\n{'feed': 2}\n0\n", "")


async def test_the_log_of_a_forked_child_is_its_own():
    code, out, err = await run(
        """
        import logging, selectors, warnings
        warnings.simplefilter("ignore")
        from fraiseql_subs import Security
        logging.basicConfig(format="%(message)s")

        class Turns(selectors.DefaultSelector):
            count = 0

            def select(self, timeout=None):
                Turns.count += 1
                return super().select(timeout)

        def guarded():
            return SubscriptionManager([feed], security=Security(hosts=["a.example"]))

        async def be_denied(manager):
            async with manager.serve(port=0) as server:
                reader, writer = await asyncio.open_connection(server.host, server.port)
                writer.write(b"GET /graphql HTTP/1.1\\r\\nHost: b.example\\r\\n\\r\\n")
                while not await reader.readline():
                    pass
                writer.close()

        async def main():
            async with guarded().serve(port=0):
                child = os.fork()
                if child == 0:
                    asyncio.events._set_running_loop(None)
                    asyncio.run(be_denied(guarded()))
                    os._exit(0)
                while os.waitpid(child, os.WNOHANG) == (0, 0):
                    await asyncio.sleep(0.05)
                # The loop of the parent has nothing to do any more.
                before = Turns.count
                await asyncio.sleep(1)
                print(Turns.count - before < 100)

        asyncio.SelectorEventLoop(Turns()).run_until_complete(main())
        """
    )
    assert (code, out) == (0, "True\n")
    assert err.count("denied") == 1


async def test_a_subinterpreter_is_refused_with_a_clear_error():
    code, out, err = await run(
        """
        try:
            import _interpreters as interpreters
        except ImportError:
            import _xxsubinterpreters as interpreters

        run = getattr(interpreters, "exec", None) or interpreters.run_string
        run(interpreters.create(), f'''if True:
            import sys
            sys.path[:] = {sys.path}
            try:
                import fraiseql_subs
            except ImportError as error:
                print(error, flush=True)
        ''')
        """
    )
    assert (code, err) == (0, "")
    assert out.startswith("fraiseql_subs runs in the main interpreter only")


async def test_the_example_serves_orders(connect):
    process = await programs.start_command(
        sys.executable,
        "examples/orders.py",
        "--port",
        "0",
        "--interval",
        "0.01",
    )
    line = await read_line(process)
    client = await connect(line.split()[-1])
    id = await client.subscribe("subscription { orderUpdated(userId: 1) { id status } }")
    order = (await client.receive_data(id))["orderUpdated"]
    assert order["status"] in {"NEW", "PAID", "SHIPPED"}
    process.send_signal(signal.SIGINT)
    code, _, err = await finish(process)
    assert (code, err) == (0, "")


async def test_the_example_of_an_own_server_serves_the_command():
    serving = await programs.start_command(
        sys.executable, "examples/custom_server.py", "--port", "0"
    )
    url = (await read_line(serving)).split()[-1]
    document = "subscription { orderUpdated { id status } }"
    async with subscribing(url, document, "--no-reconnect") as command:
        payload = await command.result()
        assert payload["data"]["orderUpdated"]["status"] == "PAID"
        serving.send_signal(signal.SIGINT)
        code, _, err = await finish(serving)
        assert (code, err) == (0, "")
        assert (await command.ends())[0] == 1
