"""`fraiseql-subs load` against the embedded server, and against one that is faulty on purpose."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import web
from support.certificates import Credentials
from support.listening import listening
from support.paths import ROOT
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as serve_websockets
from websockets.exceptions import ConnectionClosed

from fraiseql_subs import Limits, SubscriptionManager, passthrough, subscription

ALL = "subscription { feed { sequence sentAt note } }"
OWN = "subscription ($key: Int!) { own(key: $key) { sequence sentAt } }"
EITHER = """subscription ($key: Int!, $all: Boolean! = false) {
    feed @include(if: $all) { sequence sentAt }
    own(key: $key) @skip(if: $all) { sequence sentAt }
}"""
KEY = '{"key": {subscription}}'


@dataclass
class Feed:
    sequence: int
    sentAt: int
    note: str | None = None


class Loaded:
    """A server to be loaded, with a control socket."""

    def __init__(self, url: str, control: str) -> None:
        self.url = url
        self.control = control

    async def start(self, mode: str, *options: str, query: str = ALL) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *[sys.executable, "-m", "fraiseql_subs", "load", mode, "--url", self.url],
            *["--publish", self.control, "--query", query, "--json", "-", *options],
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def load(self, mode: str, *options: str, query: str = ALL) -> dict[str, Any]:
        """The result, with the exit status as `status`; or the printed error as `error`."""
        process = await self.start(mode, *options, query=query)
        out, err = await process.communicate()
        result = json.loads(out) if out else {"error": err.decode()}
        return {**result, "status": process.returncode}


async def listen(stack: AsyncExitStack, publish) -> str:
    """A control socket: each line is an event for `publish(channel, data)`."""

    async def serve(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            await publish(**json.loads(line))

    return f"tcp://127.0.0.1:{await stack.enter_async_context(listening(serve))}"


def feeds() -> list:
    return [
        passthrough("feed", Feed, channel="feed"),
        passthrough("own", Feed, channel="feed", filter={"key": "$key"}, arguments={"key": int}),
    ]


@pytest.fixture
def limits() -> Limits:
    return Limits()


@pytest.fixture
def manager(limits) -> SubscriptionManager:
    return SubscriptionManager(feeds(), limits=limits)


@pytest.fixture
async def ours(manager, serve, stack) -> Loaded:
    server = await serve(manager)
    return Loaded(server.url, await listen(stack, manager.publish))


def faults(result: dict) -> dict[str, int]:
    return {name: result[name] for name in ("lost", "duplicated", "reordered", "misrouted")}


NONE = {"lost": 0, "duplicated": 0, "reordered": 0, "misrouted": 0}


async def test_fan_out_reaches_every_subscription_and_is_measured(ours):
    result = await ours.load(
        "fan-out",
        "--connections=20",
        "--subscriptions=3",
        "--events=30",
        f"--pid={os.getpid()}",
    )
    assert result["status"] == 0, result
    assert result["errors"] == []
    assert (result["connections"], result["subscriptions"], result["events"]) == (20, 60, 30)
    assert result["expected"] == result["delivered"] == 30 * 60
    assert faults(result) == NONE
    latency = result["latency_us"]
    assert 0 < latency["p50"] <= latency["p99"] <= latency["p99_9"] <= latency["max"]
    assert result["server"]["rss_after_bytes"] > 1_000_000
    assert isinstance(result["server"]["cpu_us_per_delivery"], float)
    assert result["client"]["cpu_us_per_delivery"] > 0


async def test_a_rate_is_kept_whatever_the_server_does(ours):
    result = await ours.load(
        "rate", "--connections=5", "--rate=200", "--duration=0.5", "--warm-up=0"
    )
    assert result["status"] == 0, result
    assert (result["events"], result["delivered"]) == (100, 500)


@pytest.mark.parametrize(
    "pace", [["--events=200", "--pending=4"], ["--rate=400", "--duration=0.5"]]
)
async def test_a_selective_event_reaches_the_subscription_of_its_key_alone(ours, pace):
    result = await ours.load(
        "selective",
        *["--connections=15", "--subscriptions=4", "--variables", KEY, *pace],
        query=OWN,
    )
    assert result["status"] == 0, result
    assert result["expected"] == result["delivered"] == result["events"] == 200


async def test_the_memory_of_idle_connections_is_measured(ours):
    result = await ours.load(
        "idle",
        "--connections=50",
        "--duration=2",
        f"--pid={os.getpid()}",
        "--sample-interval=0.1",
    )
    assert result["status"] == 0, result
    assert result["events"] == 0
    assert "bytes_per_connection" in result["server"]
    assert [sample["rss_bytes"] > 0 for sample in result["samples"]].count(True) >= 2


# All that is sent is past this and what the buffers of the system hold; what is sent in 18 seconds,
# in which a client may not be run, is not.
@pytest.mark.parametrize("limits", [Limits(max_pending_bytes=24 * 1024 * 1024)])
async def test_slow_clients_are_ended_and_the_others_lose_nothing(ours):
    data = '{"sequence": {sequence}, "sentAt": {now}, "note": "%s"}' % ("x" * 50_000)
    result = await ours.load(
        "slow", "--connections=10", "--slow-share=0.2", "--rate=25", "--duration=30", "--data", data
    )
    assert result["status"] == 0, result
    assert result["delivered"] == result["expected"] == 8 * 750
    assert result["slow"] == {"connections": 2, "disconnected": 2}


async def test_clients_leave_and_return_and_the_others_lose_nothing(ours):
    result = await ours.load(
        "churn", "--connections=20", "--rate=100", "--duration=1", "--churn-rate=30"
    )
    assert result["status"] == 0, result
    assert result["delivered"] == result["expected"] == 16 * 100
    assert result["churn"]["left"] >= 20
    assert result["unchecked"] > 0


async def test_mixed_load_does_all_of_it_at_once(ours):
    result = await ours.load(
        "mixed",
        *["--connections=20", "--rate=50", "--duration=1", "--variables", KEY],
        *[
            "--broadcast-variables",
            '{"key": 0, "all": true}',
            f"--pid={os.getpid()}",
            "--sample-interval=0.1",
        ],
        query=EITHER,
    )
    assert result["status"] == 0, result
    # 7 of the 14 checked clients receive every event, and each event is for one of the others.
    assert result["delivered"] == result["expected"] == 50 * 8
    assert result["slow"]["connections"] == 2
    assert result["churn"]["left"] >= 5
    assert len(result["samples"]) >= 1


SNAPSHOT = "subscription { snapshot { sequence sentAt } }"


def snapshot_now() -> Feed:
    return Feed(sequence=0, sentAt=0)


@subscription(channel="snapshot", initial=snapshot_now)
async def snapshot(event) -> Feed:
    return event.data


async def test_a_storm_connects_while_others_receive_events(serve, stack):
    manager = SubscriptionManager([*feeds(), snapshot])
    server = await serve(manager)
    loaded = Loaded(server.url, await listen(stack, manager.publish))
    options = ["--connections=300", "--live=5", f"--pid={os.getpid()}"]
    result = await loaded.load("storm", *options, "--storm-query", SNAPSHOT)
    assert result["status"] == 0, result
    assert (result["connections"], faults(result)) == (5, NONE)
    assert result["delivered"] == result["expected"] == 5 * result["events"] > 0
    storm = result["storm"]
    assert storm["connections"] == storm["arrived"] == 300
    for times in (storm["acknowledged_us"], storm["first_result_us"]):
        assert 0 < times["p50"] <= times["p99"] <= times["max"]
    assert storm["per_second"] > 0 and storm["server_cpu_us_per_connection"] >= 0
    assert storm["tls"] is None


async def test_a_client_of_a_storm_without_a_result_is_a_fault(ours):
    silent = "subscription { own(key: 7) { sequence sentAt } }"
    options = ["--connections=3", "--live=1", "--patience=1", "--storm-query", silent]
    data = '{"sequence": {sequence}, "sentAt": {now}, "key": 1}'
    result = await ours.load("storm", *options, "--data", data)
    assert result["status"] == 1, result
    assert result["storm"]["arrived"] == 0
    assert result["errors"] == ["3 of 3 connections of the storm received no result"]


@pytest.fixture
def credentials(tmp_path) -> Credentials:
    return Credentials(tmp_path / "tls")


@pytest.fixture
async def secured(credentials, serve, stack) -> Loaded:
    manager = SubscriptionManager([*feeds(), snapshot])
    server = await serve(manager, tls=credentials.tls)
    return Loaded(server.url, await listen(stack, manager.publish))


async def test_every_mode_takes_tls(secured, credentials):
    trust = ["--ca", str(credentials.authorities)]
    result = await secured.load("fan-out", "--connections=20", "--events=10", *trust)
    assert (result["status"], result["delivered"]) == (0, 200), result
    assert result["tls"] == {"resumed": 0, "full": 20}


async def test_clients_that_return_resume_their_sessions(secured):
    options = ["--connections=20", "--rate=100", "--duration=1", "--churn-rate=30"]
    result = await secured.load("churn", *options, "--insecure", "--resume")
    assert result["status"] == 0, result
    assert result["tls"]["resumed"] >= 20


async def test_a_storm_resumes_the_sessions_of_before(secured, credentials):
    options = ["--connections=300", "--live=5", "--ca", str(credentials.authorities), "--resume"]
    result = await secured.load("storm", *options, "--storm-query", SNAPSHOT)
    assert result["status"] == 0, result
    assert result["storm"]["tls"] == {"resumed": 300, "full": 0}


async def test_a_server_that_is_not_trusted_is_an_error(secured):
    result = await secured.load("fan-out", "--connections=1")
    assert result["status"] == 3
    assert "UnknownIssuer" in result["error"]


async def test_a_file_without_authorities_is_an_error(secured, tmp_path):
    file = tmp_path / "nothing.pem"
    file.write_text("nothing")
    result = await secured.load("fan-out", "--ca", str(file))
    assert result["status"] == 2
    assert "`--ca`" in result["error"] and "no PEM block" in result["error"]


async def test_events_are_published_by_http(manager, serve, stack):
    server = await serve(manager)

    async def publish(request: web.Request) -> web.Response:
        await manager.publish(**await request.json())
        return web.json_response({"ok": True})

    application = web.Application()
    application.router.add_post("/publish", publish)
    runner = web.AppRunner(application)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    result = await Loaded(server.url, f"{url}/publish").load(
        "fan-out", "--connections=5", "--events=20"
    )
    assert (result["status"], result["delivered"]) == (0, 100), result
    result = await Loaded(server.url, f"{url}/nowhere").load("fan-out")
    assert result["status"] == 3
    assert "answered with status 404" in result["error"]


async def test_ctrl_c_stops_it_and_shows_what_was_measured(manager, serve, stack):
    server = await serve(manager)
    flowing = asyncio.Event()

    async def publish(channel: str, data: dict) -> None:
        await manager.publish(channel, data)
        if data["sequence"] > 100:
            flowing.set()

    loaded = Loaded(server.url, await listen(stack, publish))
    process = await loaded.start("rate", "--connections=2", "--rate=200", "--duration=600")
    await flowing.wait()
    process.send_signal(signal.SIGINT)
    out, err = await process.communicate()
    assert process.returncode == 130, err
    result = json.loads(out)
    assert result["interrupted"]
    assert result["delivered"] > 100
    assert b"Traceback" not in err


class Faulty:
    """A server with a `fault` at every fifth event, and with spaces in its JSON."""

    def __init__(self, fault: str) -> None:
        self.fault = fault
        self.clients: dict[ServerConnection, str] = {}
        self.inits: list[object] = []
        self.held: dict | None = None

    async def serve(self, connection: ServerConnection) -> None:
        async for text in connection:
            message = json.loads(text)
            if message["type"] == "connection_init":
                self.inits.append(message.get("payload"))
                await connection.send('{"type": "ping"}')
                await connection.send('{"payload": {"hello": 1}, "type": "connection_ack"}')
            elif message["type"] == "subscribe":
                self.clients[connection] = message["id"]

    async def publish(self, channel: str, data: dict) -> None:
        fifth = data["sequence"] % 5 == 3
        if fifth and self.fault == "lose":
            return
        if fifth and self.fault == "swap":
            self.held = data
            return
        await self.send(data)
        if fifth and self.fault == "double":
            await self.send(data)
        if fifth and self.fault == "close":
            await next(iter(self.clients)).close(4500, "gone mad")
        if fifth and self.fault == "drop":
            next(iter(self.clients)).transport.abort()
        if self.held:
            held, self.held = self.held, None
            await self.send(held)

    async def send(self, data: dict) -> None:
        for connection, operation in list(self.clients.items()):
            message = {"payload": {"data": {"feed": data}}, "type": "next", "id": operation}
            text = json.dumps(message)
            # In fragments, which are rare but valid.
            # A connection that the fault has ended accepts no data.
            with contextlib.suppress(ConnectionClosed):
                await connection.send([text[:30], text[30:90], text[90:]])


@pytest.fixture
def faulty(stack):
    async def start(fault: str) -> tuple[Faulty, Loaded]:
        server = Faulty(fault)
        sockets = await stack.enter_async_context(
            serve_websockets(server.serve, "127.0.0.1", 0, subprotocols=["graphql-transport-ws"])
        )
        port = next(iter(sockets.sockets)).getsockname()[1]
        return server, Loaded(f"ws://127.0.0.1:{port}/", await listen(stack, server.publish))

    return start


FIFTY = ("--connections=2", "--rate=200", "--duration=0.25", "--warm-up=0", "--patience=5")


async def test_any_server_can_be_loaded(faulty):
    server, loaded = await faulty("nothing")
    result = await loaded.load("rate", *FIFTY, "--init-payload", '{"token": "t"}')
    assert (result["status"], result["delivered"]) == (0, 100), result
    assert server.inits == [{"token": "t"}] * 2


@pytest.mark.parametrize(("fault", "name"), [("lose", "lost"), ("double", "duplicated")])
async def test_lost_and_duplicated_events_are_detected(faulty, fault, name):
    _, loaded = await faulty(fault)
    result = await loaded.load("rate", *FIFTY)
    assert result["status"] == 1
    assert faults(result) == {**NONE, name: 20}


async def test_reordered_events_are_detected(faulty):
    _, loaded = await faulty("swap")
    result = await loaded.load("rate", *FIFTY)
    assert result["status"] == 1
    # Results that are held when the load ends are never received.
    assert result["lost"] in (0, 2)
    assert faults(result) == {**NONE, "lost": result["lost"], "reordered": 20 - result["lost"]}


async def test_misrouted_events_are_detected(faulty):
    _, loaded = await faulty("nothing")
    result = await loaded.load("selective", "--connections=2", "--events=50", "--warm-up=0")
    assert result["status"] == 1
    assert faults(result) == {**NONE, "misrouted": 50}


@pytest.mark.parametrize(
    ("fault", "error"),
    [("close", "closed a connection: 4500 gone mad"), ("drop", "without a close frame")],
)
async def test_a_connection_that_the_server_ends_is_an_error_that_says_how(faulty, fault, error):
    _, loaded = await faulty(fault)
    result = await loaded.load("rate", *FIFTY)
    # It may end during the setup of the load.
    assert result["status"] in (1, 3)
    assert error in json.dumps(result)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["rat"], "invalid value 'rat'"),
        (["rate", "--url", "http://127.0.0.1/"], "begins with ws://"),
        (["rate", "--publish", "udp://127.0.0.1:1"], "tcp:// or http://"),
        (["rate", "--variables", '{"key": {user}}'], "`{user}` is not a placeholder here"),
        (["rate", "--query", "subscription { feed { id } }"], "selects no `sequence`"),
        (["slow", "--connections", "1"], "none is left to be checked"),
        (["rate", "--rate", "-1"], "--rate"),
    ],
)
async def test_invalid_options_are_refused_with_a_reason(options, expected):
    given = {"--query": ALL, "--publish": "tcp://127.0.0.1:9"}
    given.update(zip(options[1::2], options[2::2], strict=True))
    arguments = [options[0], *(f"{name}={value}" for name, value in given.items())]
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "fraiseql_subs", "load", *arguments],
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await process.communicate()
    assert process.returncode == 2
    assert expected in err.decode()


async def test_the_reason_why_a_load_cannot_run_is_printed(ours):
    for options, expected in (
        (["--url", "ws://127.0.0.1:1/"], "Connection refused"),
        (["--url", f"{ours.url}/nowhere"], "404 Not Found"),
        (["--publish", "tcp://127.0.0.1:1"], "cannot be published to 127.0.0.1:1"),
        (["--channel", "other", "--patience", "1"], "do `--channel` and `--data` match"),
        (["--query", "subscription { feed { sequence no } }"], "Cannot query field"),
        (["--pid", "4194305"], "process 4194305"),
        (["--connections", "9000000"], "open files"),
    ):
        given = {"--url": ours.url, "--publish": ours.control, "--query": ALL}
        given.update(zip(options[::2], options[1::2], strict=True))
        arguments = [f"{name}={value}" for name, value in given.items()]
        process = await asyncio.create_subprocess_exec(
            *[sys.executable, "-m", "fraiseql_subs", "load", "rate", *arguments],
            stderr=asyncio.subprocess.PIPE,
        )
        _, err = await process.communicate()
        assert process.returncode == 3, (options, err)
        assert expected in err.decode(), options


@pytest.mark.parametrize("compression", [True, False])
async def test_compressed_results_are_read_and_their_bytes_counted(
    compression, manager, serve, stack
):
    server = await serve(manager, compression=compression)
    ours = Loaded(server.url, await listen(stack, manager.publish))
    data = json.dumps({"sequence": "{sequence}", "sentAt": "{now}", "note": "ten bytes " * 500})
    data = data.replace('"{sequence}"', "{sequence}").replace('"{now}"', "{now}")
    options = ["--connections", "5", "--events", "20", "--data", data, "--compression"]
    result = await ours.load("fan-out", *options)
    assert (result["status"], result["errors"], result["delivered"]) == (0, [], 100)
    each = result["client"]["received_bytes"] / 100
    assert each < 500 if compression else each > 5_000


def test_every_option_is_documented():
    command = [sys.executable, "-m", "fraiseql_subs", "load", "--help"]
    options = set(re.findall(r"--[a-z-]+", subprocess.check_output(command, text=True)))
    page = (ROOT / "docs/reference/load.md").read_text()
    assert "--connections" in options
    documented = set(re.findall(r"^\| `(--[a-z-]+)`", page, re.MULTILINE))
    assert documented == options - {"--help", "--version"}
