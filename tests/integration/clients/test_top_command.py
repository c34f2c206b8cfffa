"""The command `fraiseql-subs top`: without a terminal, and its screen."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from contextlib import AsyncExitStack

import pytest
from support import eventually
from support.certificates import Credentials
from support.programs import ENVIRONMENT, finish
from textual.widgets import DataTable, RichLog

from fraiseql_subs import Security, SubscriptionManager, passthrough
from fraiseql_subs.commands._endpoint import read_endpoint
from fraiseql_subs.commands._top_metrics import MetricsReader, MetricsReading
from fraiseql_subs.commands._top_screen import TopApp

ENDPOINT = read_endpoint("http://h/metrics", token=None, headers=[], ca=None, insecure=False)


def orders(**options) -> SubscriptionManager:
    return SubscriptionManager([passthrough("orders", str, channel="orders")], **options)


async def top(*arguments: str, **variables: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "fraiseql_subs", "top", "--interval", "0.05", *arguments),
        env={**ENVIRONMENT, "PYTHONIOENCODING": "utf-8", **variables},
        stdout=PIPE,
        stderr=PIPE,
    )
    status, out, err = await finish(process)
    assert "Traceback" not in err, err
    return status, out, err


@pytest.fixture
async def busy(serve, connect):
    """A manager with a client that has received an event; and its server."""
    manager = orders()
    server = await serve(manager)
    client = await connect(server.url)
    id = await client.subscribe("subscription { orders }")
    await eventually(lambda: manager.metrics().subscriptions == 1, "the client has subscribed")
    await manager.publish("orders", "paid")
    await client.receive_data(id)
    return manager, server


def root(server) -> str:
    return f"http://127.0.0.1:{server.port}"


@pytest.mark.parametrize("options", [["--once"], []])
async def test_tables_are_printed_once_without_a_terminal(busy, options):
    _, server = busy
    status, out, _ = await top(root(server), *options)
    lines = [line.split() for line in out.splitlines()]
    assert status == 0
    assert ["Traffic", "total", "per", "second"] in lines
    assert ["connections", "1"] in lines and ["subscriptions", "1"] in lines
    assert ["events", "1", "0.0"] in lines and ["results", "1", "0.0"] in lines
    assert ["engine", "none"] in lines


async def test_each_reading_is_a_line_of_json(busy, within):
    manager, server = busy
    url = f"ws://127.0.0.1:{server.port}/metrics"
    status, out, _ = await top(url, "--once", "--json")
    told = json.loads(out)
    assert (status, told["totals"]["results_sent"], told["totals"]["connections"]) == (0, 1, 1)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "fraiseql_subs", "top", url, "--json", "--interval", "0.05"),
        env=ENVIRONMENT,
        stdout=PIPE,
    )
    assert process.stdout is not None
    json.loads(await within(process.stdout.readline()))
    await manager.publish("orders", "sent")
    while not json.loads(line := await within(process.stdout.readline()))["rates"]["results_sent"]:
        assert line
    process.kill()
    await process.wait()


async def test_certificates_and_unix_sockets(stack, serve, tmp_path):
    credentials = Credentials(tmp_path)
    server = await serve(orders(), tls=credentials.tls)
    url = f"https://127.0.0.1:{server.port}"
    status, _, err = await top(url, "--once")
    assert status == 1 and "certificate is not trusted" in err
    assert (await top(url, "--once", "--ca", str(credentials.authorities)))[0] == 0
    path = tmp_path / "app.sock"
    await stack.enter_async_context(orders().serve(unix=path))
    assert (await top(f"unix:{path}", "--once"))[0] == 0


async def test_the_token_is_sent():
    heads = []

    async def answer(reader, writer):
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/metrics?a=b"
        status, out, err = await top(url, "--header", "x-a: b", FRAISEQL_SUBS_TOKEN="secret")
    assert (status, out) == (1, "") and "401 Unauthorized" in err
    head = heads[0].lower()
    assert head.startswith(b"get /metrics?a=b http/1.1\r\n")
    assert b"authorization: bearer secret\r\n" in head and b"x-a: b\r\n" in head


async def test_what_is_no_server_with_metrics_is_refused(serve):
    server = await serve(orders())
    for url, message in {
        "http://127.0.0.1:1": "Connection refused",
        f"{root(server)}/nix": "404 Not Found",
        f"{root(server)}/health": "no text of Prometheus",
    }.items():
        status, out, err = await top(url, "--once")
        assert (status, out) == (1, "") and message in err, err
    for arguments in (["nix"], ["http://h", "--interval", "0"], []):
        assert (await top(*arguments))[0] == 2


@pytest.mark.parametrize("library", ["httpx", "prometheus_client"])
async def test_what_to_install_is_said(tmp_path, library):
    (tmp_path / "sitecustomize.py").write_text(f"import sys; sys.modules[{library!r}] = None")
    path = os.pathsep.join([str(tmp_path), ENVIRONMENT["PYTHONPATH"]])
    status, _, err = await top("http://127.0.0.1:1", PYTHONPATH=path)
    assert status == 1 and "pip install 'fraiseql-subs[cli]'" in err


def cells(app: TopApp, table: str) -> dict[str, list[str]]:
    """Return the rows of a table, by their names; {}: there is no such table."""
    found = app.query(f"#{table} DataTable").results(DataTable)
    rows = [table.get_row_at(row) for table in found for row in range(table.row_count)]
    return {str(name): [str(cell) for cell in rest] for name, *rest in rows}


def warnings(app: TopApp) -> str:
    return "\n".join(line.text for line in app.query_one("#warnings", RichLog).lines)


async def test_the_screen_follows_a_server(stack, connect):
    manager = await stack.enter_async_context(orders())
    running = await stack.enter_async_context(AsyncExitStack())
    server = await running.enter_async_context(manager.serve(port=0, drain=0.0))
    endpoint = read_endpoint(root(server), token=None, headers=[], ca=None, insecure=False)
    async with MetricsReader(endpoint.with_path("/metrics")) as reader:
        app = TopApp(reader, await reader.read(), place="the shop", interval=0.01)
        async with app.run_test(size=(120, 60)) as pilot:
            assert cells(app, "traffic")["connections"][0] == "0"
            assert app.sub_title == "the shop"
            client = await connect(server.url)
            id = await client.subscribe("subscription { orders }")
            await eventually(lambda: manager.metrics().subscriptions == 1, "it has subscribed")
            await manager.publish("orders", "sent")
            await client.receive_data(id)

            def is_shown() -> bool:
                traffic = cells(app, "traffic")
                return traffic["connections"][0] == "1" and traffic["results"][0] == "1"

            await eventually(is_shown, "it shows what has happened")
            assert cells(app, "engine")["engine"] == ["none"]
            await pilot.press("p")
            assert app.is_paused and app.sub_title == "the shop: paused"
            await pilot.press("p")
            await running.aclose()
            await eventually(lambda: "Connection refused" in app.sub_title, "it says why")
            await stack.enter_async_context(manager.serve(port=server.port, drain=0.0))
            await eventually(lambda: app.sub_title == "the shop", "it goes on")
            await pilot.press("q")


async def test_the_screen_tells_of_what_is_refused(serve, connect, within):
    manager = orders(security=Security(origins=["https://app.example.com"]))
    server = await serve(manager)
    endpoint = read_endpoint(root(server), token=None, headers=[], ca=None, insecure=False)
    async with MetricsReader(endpoint.with_path("/metrics")) as reader:
        app = TopApp(reader, await reader.read(), place="the shop", interval=0.01)
        async with app.run_test(size=(120, 60)) as pilot:
            await pilot.pause()
            assert "denied" not in warnings(app)
            assert "denied" not in cells(app, "refused--dropped-and-failed")
            with pytest.raises(Exception, match="403"):
                await connect(server.url, origin="https://evil.example.com")
            await eventually(
                lambda: "denied (reason=origin) +1" in warnings(app), "the warning is shown"
            )
            assert cells(app, "refused--dropped-and-failed")["denied"][0] == "1"


async def test_names_that_look_like_markup_are_shown_as_they_are():
    name, text = "[/red] [b]", "fraiseql_subs_results_sent_total"
    metrics = f'# TYPE {text} counter\n{text}{{field="{name}"}} 3\n'
    async with MetricsReader(ENDPOINT) as reader:
        app = TopApp(reader, MetricsReading.parse(metrics, 1.0), place="[/a]", interval=3600)
        async with app.run_test(size=(120, 60)) as pilot:
            await pilot.pause()
            assert list(cells(app, "by-field")) == [name]


async def test_a_terminal_is_shown_the_screen(busy, within):
    _, server = busy
    outer, inner = os.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "fraiseql_subs", "top", root(server)),
        env={**ENVIRONMENT, "TERM": "xterm-256color"},
        stdin=inner,
        stdout=inner,
        stderr=inner,
    )
    os.close(inner)
    shown = bytearray()
    loop = asyncio.get_running_loop()
    loop.add_reader(outer, lambda: shown.extend(read_all(outer)))
    try:
        await eventually(lambda: b"subscriptions" in shown, "the screen is drawn")
        os.write(outer, b"q")
        assert (await within(process.wait())) == 0, shown
    finally:
        loop.remove_reader(outer)
        os.close(outer)
        if process.returncode is None:
            process.kill()


def read_all(file: int) -> bytes:
    try:
        return os.read(file, 100_000)
    except OSError:
        # The process has ended.
        return b""
