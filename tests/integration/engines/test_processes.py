"""`fraiseql-subs serve --processes`: processes share a port, are replaced, and drain."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import stat
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from nodes import PATHS
from returning import after, begin, numbers, query
from supervised_program import SupervisedProgram
from support import PATIENCE, eventually
from support.node import NodeProcess
from support.notified import Notified
from support.protocol_client import ConnectionClosed, ProtocolClient

from fraiseql_subs import Publisher

run = SupervisedProgram.run


async def test_clients_of_a_process_that_is_killed_go_on_at_another(redis):
    async with run(redis.url) as program, Publisher(redis.url) as publisher:
        await program.serving()
        client, victim = await program.connect()
        other, survivor = await program.connect(victim)
        await begin(client)
        await publisher.publish("feed", 1)
        received, last = await numbers(client, 1)
        assert received == [1]
        os.kill(victim, signal.SIGKILL)
        await publisher.publish("feed", 2)
        await program.logged(f"process {victim} has ended (signal SIGKILL): another one takes")
        await client.close()
        client, third = await program.connect(victim, survivor)
        await client.subscribe(query("feed"), extensions=after(last))
        await publisher.publish("feed", 3)
        assert (await numbers(client, 2))[0] == [2, 3]
        await client.close()
        await other.close()
        assert {child.pid for child in program.children()} == {survivor, third}


async def test_a_restart_replaces_all_processes_and_clients_receive_every_event(redis):
    async with contextlib.AsyncExitStack() as stack:
        program = await stack.enter_async_context(run(redis.url))
        publisher = await stack.enter_async_context(Publisher(redis.url))
        await program.serving()
        before = {child.pid for child in program.children()}
        nodes = []
        for client in ["graphql-ws", "graphql-sse"] * 3:
            running = NodeProcess.run("resume.mjs", client, program.http_url, query("feed"))
            nodes.append(await stack.enter_async_context(running))
            assert await nodes[-1].read() == {"data": None, "missed": False}
        over = asyncio.ensure_future(program.logged("all processes are new"))
        os.kill(program.process.pid, signal.SIGHUP)
        count = 0
        while not over.done():
            await publisher.publish("feed", count)
            count += 1
            await asyncio.wait([over], timeout=0.01)
        await over
        await publisher.publish("feed", count)
        for node in nodes:
            for number in range(count + 1):
                assert (await node.read())["data"] == {"feed": number}
        after = {child.pid for child in program.children()}
        assert len(after) == 2 and not after & before


async def test_what_becomes_of_processes_has_names_in_the_log(redis, tmp_path):
    broken = tmp_path / "broken"
    options = ("--log-format", "json")
    async with run(redis.url, *options, BROKEN=str(broken)) as program:

        def records(name: str) -> list[dict[str, Any]]:
            told = [json.loads(line) for line in program.log.split("\n")[:-1] if line[:1] == "{"]
            return [record for record in told if record["event_name"] == name]

        await program.serving()
        victim, other = sorted(child.pid for child in program.children())
        served = {record["fields"]["process"] for record in records("process.serving")}
        assert served == {str(victim), str(other)}
        assert {record["process"] for record in records("process.serving")} == {program.process.pid}
        assert {record["process"] for record in records("server.listening")} == {victim, other}
        os.kill(victim, signal.SIGKILL)
        await eventually(lambda: len(records("process.serving")) == 3, "it is replaced")
        (ended,) = records("process.ended")
        assert (ended["level"], ended["logger"]) == ("WARNING", "fraiseql_subs.processes")
        assert ended["fields"] == {"process": str(victim), "reason": "signal SIGKILL"}
        os.kill(program.process.pid, signal.SIGHUP)
        await eventually(lambda: records("restart.done"), "all are replaced")
        assert len(records("restart.begun")) == 1 and len(records("process.draining")) == 2
        broken.touch()
        os.kill(program.process.pid, signal.SIGHUP)
        await eventually(lambda: records("restart.failed"), "none is replaced")
        (failed,) = records("process.failed")
        assert (failed["level"], failed["fields"]["reason"]) == ("ERROR", "status 1")


async def test_a_restart_that_fails_leaves_the_old_processes(redis, tmp_path):
    broken = tmp_path / "broken"
    with Notified(str(tmp_path / "notify")) as told:
        variables = {"BROKEN": str(broken), "NOTIFY_SOCKET": told.path}
        async with run(redis.url, **variables) as program:
            await program.serving()
            before = {child.pid for child in program.children()}
            broken.touch()
            os.kill(program.process.pid, signal.SIGHUP)
            await program.logged("the restart has failed: 2 processes go on as they were")
            assert "ValueError: the settings are broken" in program.log
            client, served_by = await program.connect()
            assert served_by in before
            await client.close()
            broken.unlink()
            os.kill(program.process.pid, signal.SIGHUP)
            await program.logged("all processes are new")
            os.kill(program.process.pid, signal.SIGTERM)
            assert await program.ended() == 0
        states = [message["STATUS"] for message in told.rest() if "READY" in message]
    failed = "the restart has failed: 2 processes go on as they were"
    assert states[1:] == [failed, "serving by 2 processes"]


async def test_a_process_that_never_serves_is_killed_and_the_old_ones_stay(redis, tmp_path):
    hanging = tmp_path / "hanging"
    async with run(redis.url, "--start-timeout", "15", HANGING=str(hanging)) as program:
        await program.serving()
        before = {child.pid for child in program.children()}
        hanging.touch()
        os.kill(program.process.pid, signal.SIGHUP)
        await program.logged("has not begun to serve after 15 s (--start-timeout): it is killed")
        await program.logged("the restart has failed: 2 processes go on as they were")
        assert {child.pid for child in program.children()} == before
        hanging.unlink()
        os.kill(program.process.pid, signal.SIGHUP)
        await program.logged("all processes are new")


async def test_a_newer_restart_does_not_wait_for_one_that_hangs(redis, tmp_path):
    hanging = tmp_path / "hanging"
    async with run(redis.url, "--start-timeout", "3600", HANGING=str(hanging)) as program:
        await program.serving()
        before = {child.pid for child in program.children()}
        hanging.touch()
        os.kill(program.process.pid, signal.SIGHUP)
        await program.logged("hanging")
        (hung,) = [child for child in program.children() if child.pid not in before]
        hanging.unlink()
        os.kill(program.process.pid, signal.SIGHUP)
        await program.logged(f"process {hung.pid} is ended before it served")
        await program.logged("all processes are new")
        assert "the restart has failed" not in program.log
        after = {child.pid for child in program.children()}
        assert len(after) == 2 and not after & {*before, hung.pid}
        os.kill(program.process.pid, signal.SIGTERM)
        assert await program.ended() == 0


@pytest.mark.parametrize("is_first", [True, False])
async def test_a_restart_does_not_wait_for_a_start_that_hangs(redis, tmp_path, is_first):
    """That of the first process, or of one that takes the place of another one."""
    hanging = tmp_path / "hanging"
    if is_first:
        hanging.touch()
    async with run(redis.url, "--start-timeout", "3600", HANGING=str(hanging)) as program:
        if not is_first:
            await program.serving()
            hanging.touch()
            program.children()[0].kill()
        await program.logged("hanging")
        hanging.unlink()
        os.kill(program.process.pid, signal.SIGHUP)
        await program.logged("is ended before it served: a newer one is started")
        if is_first:
            await program.serving()
        else:
            await program.logged("all processes are new")
        client, _ = await program.connect()
        await client.close()
        assert len(program.children()) == 2


HANGING_UP = """
import asyncio, os, signal

def run(*arguments, run=asyncio.run, **options):
    os.kill(os.getpid(), signal.SIGHUP)
    return run(*arguments, **options)

asyncio.run = run
if "_FRAISEQL_SUBS_SUPERVISED" in os.environ:
    os.kill(os.getpid(), signal.SIGHUP)
    os.kill(os.getpid(), signal.SIGINT)
"""


async def test_signals_of_the_first_moments_are_harmless(redis, tmp_path):
    """To the supervisor before its event loop runs, and to a process before it runs anything."""
    (tmp_path / "sitecustomize.py").write_text(HANGING_UP)
    path = os.pathsep.join([str(tmp_path), PATHS])
    async with run(redis.url, PYTHONPATH=path) as program:
        await program.serving()
        client, _ = await program.connect()
        await client.close()
        os.kill(program.process.pid, signal.SIGHUP)
        await program.logged("all processes are new")
        os.kill(program.process.pid, signal.SIGTERM)
        assert await program.ended() == 0
        assert "has ended" not in program.log


async def test_a_signal_ends_a_program_whose_import_never_ends(redis, tmp_path):
    async with run(redis.url, HANGING=str(tmp_path)) as program:
        await program.logged("hanging")
        (child,) = program.children()
        os.kill(program.process.pid, signal.SIGTERM)
        assert await program.ended() == 0
        assert not child.is_running()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_to_all_drains_and_ends_with_0(redis, number):
    """A terminal sends Ctrl-C to all processes, and systemd SIGTERM."""
    async with run(redis.url, PYTHONDEVMODE="1") as program:
        await program.serving()
        children = program.children()
        client, _ = await program.connect()
        os.killpg(program.process.pid, number)
        with pytest.raises(ConnectionClosed) as closed:
            await client.receive()
        assert closed.value.rcvd.code == 1001
        assert await program.ended() == 0
        assert not any(child.is_running() for child in children)
        assert "another one takes its place" not in program.log
        assert "ResourceWarning" not in program.log


async def with_an_endless_stream(program: SupervisedProgram) -> ProtocolClient:
    """Connect a client for which a drain waits."""
    await program.serving()
    client, _ = await program.connect()
    id = await client.subscribe("subscription { endless }")
    assert await client.receive_data(id) == {"endless": 1}
    return client


async def test_new_clients_are_refused_while_a_signal_to_all_drains(redis):
    async with run(redis.url, "--drain", "3600") as program:
        client = await with_an_endless_stream(program)
        os.killpg(program.process.pid, signal.SIGTERM)
        await program.logged("draining: 1 operation")
        # Whichever process accepts.
        for _ in range(8):
            async with httpx.AsyncClient(timeout=PATIENCE) as http:
                response = await http.post(program.http_url, json={"query": "{ __typename }"})
                assert (response.status_code, "retry-after" in response.headers) == (503, True)
        client.kill()
        assert await program.ended() == 0


async def test_a_second_signal_ends_at_once(redis):
    async with run(redis.url, "--drain", "3600") as program:
        client = await with_an_endless_stream(program)
        os.kill(program.process.pid, signal.SIGTERM)
        await program.logged("draining: 1 operation")
        os.kill(program.process.pid, signal.SIGTERM)
        assert await program.ended() == 0
        client.kill()


async def test_processes_are_replaced_without_the_delay_of_an_end(redis):
    """While the others are ready, no client has to be sent elsewhere."""
    async with run(redis.url, "--ready-delay", "3600") as program:
        await program.serving()
        os.kill(program.process.pid, signal.SIGHUP)
        await program.logged("all processes are new")
        client, _ = await program.connect()
        os.kill(program.process.pid, signal.SIGTERM)
        async with httpx.AsyncClient() as probe:
            url = program.http_url.replace("/graphql", "/health/ready")

            async def is_unready() -> bool:
                return (await probe.get(url)).status_code == 503

            await eventually(is_unready, "clients are sent elsewhere")
        other, _ = await program.connect()
        os.kill(program.process.pid, signal.SIGTERM)
        for ended in (client, other):
            await ended.expect_close(1001)
        assert await program.ended() == 0


async def test_a_third_signal_kills_what_does_not_end(redis):
    async with run(redis.url) as program:
        await program.serving()
        children = program.children()
        for child in children:
            child.suspend()
        for count in (1, 2, 3):
            os.kill(program.process.pid, signal.SIGTERM)
            # Signals that arrive together are one.
            await eventually(lambda count=count: taken(program, signal.SIGTERM), f"signal {count}")
        assert await program.ended() == 1
        assert not any(child.is_running() for child in children)


def taken(program: SupervisedProgram, number: int) -> bool:
    """Whether the supervisor has no such signal waiting, or has ended."""
    with contextlib.suppress(FileNotFoundError):
        status = Path(f"/proc/{program.process.pid}/status").read_text()
        pending = [int(value, 16) for value in re.findall(r"Pnd:\s+(\w+)", status)]
        return not any(mask >> (number - 1) & 1 for mask in pending)
    return True


async def test_processes_end_with_their_terminal(redis):
    ours, theirs = os.openpty()
    async with run(redis.url, terminal=theirs) as program:
        os.close(theirs)
        await program.serving()
        os.kill(program.process.pid, signal.SIGHUP)
        await program.logged("all processes are new")
        os.close(ours)
        assert await program.ended() == 0


async def test_nohup_lets_them_outlive_their_terminal(redis):
    ours, theirs = os.openpty()
    async with run(redis.url, terminal=theirs, ignored="HUP") as program:
        os.close(theirs)
        await program.serving()
        os.close(ours)
        for count in (1, 2):
            os.kill(program.process.pid, signal.SIGHUP)
            await eventually(
                lambda count=count: program.log.count("all processes are new") >= count,
                f"restart {count} is done",
            )
        client, _ = await program.connect()
        await client.close()


async def test_ctrl_c_does_not_end_what_a_shell_runs_in_the_background(redis):
    async with run(redis.url, ignored="INT") as program:
        await program.serving()
        os.kill(program.process.pid, signal.SIGINT)
        client, _ = await program.connect()
        await client.close()
        os.kill(program.process.pid, signal.SIGTERM)
        assert await program.ended() == 0


async def test_a_process_that_is_asked_to_end_alone_is_replaced(redis):
    async with run(redis.url) as program:
        await program.serving()
        child, other = program.children()
        os.kill(child.pid, signal.SIGTERM)
        await program.logged(f"process {child.pid} has ended (status 0): another one")
        client, _ = await program.connect(child.pid, other.pid)
        await client.close()


async def test_processes_end_when_the_supervisor_is_killed(redis):
    async with run(redis.url) as program:
        await program.serving()
        children = program.children()
        program.process.kill()
        await eventually(lambda: not any(map(is_alive, children)), "the processes end")


async def test_a_process_that_imports_ends_when_the_supervisor_is_killed(redis, tmp_path):
    async with run(redis.url, HANGING=str(tmp_path)) as program:
        await program.logged("hanging")
        children = program.children()
        program.process.kill()
        await eventually(lambda: not any(map(is_alive, children)), "the process ends")


def is_alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


async def test_a_module_that_cannot_be_imported_ends_the_program(redis, tmp_path):
    async with run(redis.url, BROKEN=str(tmp_path)) as program:
        assert await program.ended() == 1
        assert program.log.count("ValueError: the settings are broken") == 1


async def test_processes_that_cannot_be_replaced_are_tried_again_and_then_given_up(redis, tmp_path):
    broken = tmp_path / "broken"
    async with run(redis.url, BROKEN=str(broken)) as program:
        await program.serving()
        client, survivor = await program.connect()
        broken.touch()
        (victim,) = {child.pid for child in program.children()} - {survivor}
        os.kill(victim, signal.SIGKILL)
        await program.logged("(status 1) before it served: another one takes its place in 1.0 s")
        broken.unlink()
        await eventually(lambda: program.log.count("serves") == 3, "the place is taken")
        broken.touch()
        for child in program.children():
            child.kill()
        await program.logged("no process can be started: the last 5 attempts failed")
        assert await program.ended() == 1
        client.kill()


async def test_clients_do_not_wait_for_a_process_that_cannot_be_replaced(redis, tmp_path):
    broken = tmp_path / "broken"
    async with run(redis.url, BROKEN=str(broken)) as program:
        await program.serving()
        broken.touch()
        victim, survivor = program.children()
        victim.kill()
        await program.logged(f"process {victim.pid} has ended (signal SIGKILL)")
        for _ in range(10):
            client, process = await asyncio.wait_for(program.connect(), PATIENCE)
            assert process == survivor.pid
            await client.close()
        broken.unlink()
        client, _ = await program.connect(survivor.pid)
        await client.close()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere all have one queue")
async def test_clients_that_come_together_are_spread_over_the_processes(redis):
    async with run(redis.url) as program:
        await program.serving()
        for _ in range(2):
            # Also over those that have taken the places of others.
            served: Counter[int] = Counter()
            for _ in range(4):
                clients = await asyncio.gather(*(program.connect() for _ in range(50)))
                served.update(process for _, process in clients)
                for client, _ in clients:
                    client.kill()
            assert len(served) == 2 and min(served.values()) > 60, served
            os.kill(program.process.pid, signal.SIGHUP)
            await program.logged("all processes are new")


async def test_main_runs_in_one_process_and_moves_when_that_ends(redis):
    async with run(redis.url, "--main", "supervised_app:stay") as program:
        await program.serving()
        first = int((await program.line("main")).split()[1])
        os.kill(first, signal.SIGKILL)
        second = int((await program.line("main")).split()[1])
        assert second != first
        await eventually(lambda: program.log.count("serves") == 3, "the place is taken")
        os.kill(program.process.pid, signal.SIGHUP)
        # It has ended in one process before it begins in the next one.
        await program.line(f"over {second}")
        third = int((await program.line("main")).split()[1])
        await program.logged("all processes are new")
        assert third in {child.pid for child in program.children()}
        os.kill(program.process.pid, signal.SIGTERM)
        await program.line(f"over {third}")
        assert await program.ended() == 0


async def test_the_end_of_a_forked_process_is_its_own(redis):
    async with run(redis.url, "--main", "supervised_app:fork") as program:
        await program.serving()
        await program.line(f"forked {-signal.SIGTERM}")
        client, _ = await program.connect()
        await client.close()
        assert "drains" not in program.log


@pytest.mark.parametrize(("name", "status"), [("pass_by", 0), ("fail", 1)])
async def test_the_end_of_main_ends_the_program(redis, name, status):
    async with run(redis.url, "--main", f"supervised_app:{name}") as program:
        assert await program.ended() == status
        assert ("ValueError: the database is away" in program.log) is (status == 1)


async def test_the_memory_bus_is_refused(redis):
    async with run(redis.url, target="supervised_app:memory") as program:
        assert await program.ended() == 2
        for word in ("--processes 2", 'bus="redis://', "NATS", "PostgreSQL"):
            assert word in program.log


async def test_a_unix_socket_is_shared_and_removed(redis, tmp_path):
    path = tmp_path / "app.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    async with run(redis.url, "--unix", str(path)) as program:
        await program.serving()
        transport = httpx.AsyncHTTPTransport(uds=str(path))
        async with httpx.AsyncClient(transport=transport) as client:
            assert (await client.get("http://localhost/health")).status_code == 200
        async with run(redis.url, "--unix", str(path)) as second:
            assert await second.ended() == 1
            assert f"cannot listen on {path}: Address already in use" in second.log
        assert stat.S_ISSOCK(path.stat().st_mode)
        os.kill(program.process.pid, signal.SIGTERM)
        assert await program.ended() == 0
        assert not path.exists()
    path.write_text("no socket")
    async with run(redis.url, "--unix", str(path)) as third:
        assert await third.ended() == 1
        assert f"cannot listen on {path}: File exists; it is no socket" in third.log
    assert path.read_text() == "no socket"


async def test_a_port_in_use_is_told(redis):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        async with run(redis.url, FRAISEQL_SUBS_PORT=port) as program:
            # The command line of this program counts more.
            await program.serving()
        async with run(redis.url, "--host", "127.0.0.1", "--port", port) as program:
            assert await program.ended() == 1
            assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in program.log


@pytest.mark.parametrize("count", ["0", "many", "1000"])
async def test_a_count_that_is_none_is_refused(redis, count):
    async with run(redis.url, "--processes", count) as program:
        assert await program.ended() == 2
        assert "--processes" in program.log
