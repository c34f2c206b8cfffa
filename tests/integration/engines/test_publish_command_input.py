"""`fraiseql-subs publish` tells of input that cannot be published, and ends when it is to end."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import sys
import termios
from collections.abc import AsyncIterator

import pytest
from declared import node
from nodes import take
from publishing_command import publish, start
from support import PATIENCE, eventually
from support.publishing import KEY
from support.redis_server import RedisServer

from fraiseql_subs import Security, TenantIsolation

FEED = "subscription { feed }"
COMMAND = f"{sys.executable} -m fraiseql_subs publish"

BAD_LINES = {
    "deep": (b"[" * 100_000, "nested too deeply"),
    "deep objects": (b'{"a":' * 100_000, "nested too deeply"),
    "deep and whole": (b"[" * 900 + b"]" * 900, "nested deeper than 127 levels"),
    "many digits": (b"1" * 5_000, "an integer past 64 bits"),
    "very many digits": (b"-" + b"1" * 5_000_000, "an integer past 64 bits"),
    "an integer past 64 bits": (b"18446744073709551616", "an integer past 64 bits"),
    "a number out of range": (b"1e999", "inf is no JSON number"),
    "NaN": (b"NaN", "it is not JSON (NaN is no JSON)"),
    "Infinity": (b"[-Infinity]", "it is not JSON (-Infinity is no JSON)"),
    "a lone surrogate": (b'"\\ud800"', "surrogate"),
    "a lone surrogate as a key": (b'{"\\udc00": 1}', "surrogate"),
    "no UTF-8": (b'"\xff"', "it is not JSON ('utf-8' codec"),
    "UTF-16": ('"a"'.encode("utf-16"), "it is not JSON ('utf-8' codec"),
    "NUL": (b'"a\0b"', "it is not JSON"),
    "a NUL alone": (b"\0", "it is not JSON"),
    "a BOM": (b"\xef\xbb\xbf3", "it is not JSON"),
    "text": (b"paid", "it is not JSON"),
    "two values": (b"1 2", "it is not JSON"),
    "too long": (b'"' + b"x" * (17 << 20), "it has more than 16777216 bytes"),
}


@pytest.mark.parametrize("bad", BAD_LINES)
@pytest.mark.parametrize("kind", ["redis", "http"])
async def test_a_line_that_cannot_be_published_is_named(kind, bad, redis):
    line, part = BAD_LINES[bad]
    async with contextlib.AsyncExitStack() as stack:
        if kind == "redis":
            manager = await stack.enter_async_context(node(redis.url))
            to = redis.url
        else:
            manager = node("memory://")
            server = await stack.enter_async_context(manager.serve(port=0, publish_key=KEY))
            to = server.publish_url
        results = await stack.enter_async_context(manager.subscribe(FEED))
        stdin = b"1\n2\n" + line + b"\n4\n"
        status, out, err = await publish(
            *("feed", "-", "--lines", "--to", to), stdin=stdin, FRAISEQL_SUBS_PUBLISH_KEY=KEY
        )
        assert status == 1 and len(out) == 2
        assert err.startswith("fraiseql-subs publish: line 3: ") and part in err, err[:500]
        assert len(err) < 500 and len(err.splitlines()) == 1
        await manager.publish("feed", 5)
        assert await take(results, 3) == [1, 2, 5]


@pytest.mark.parametrize("bad", sorted({*BAD_LINES} - {"a BOM"}))
async def test_data_that_cannot_be_published_are_told(bad):
    text, part = BAD_LINES[bad]
    status, out, err = await publish("feed", "-", "--to", "redis://127.0.0.1:1", stdin=text)
    assert (status, out) == (2, [])
    assert part in err and len(err) < 1000


async def test_an_argument_that_is_not_utf_8_is_told():
    wrong = b"\xff"
    for arguments in (
        [b"feed", b'"\xff"'],
        [wrong, b"1"],
        [b"feed", b"1", b"--event-type", wrong],
        [b"feed", b"1", b"--tenant", wrong],
        [b"feed", b"1", b"--event-id", wrong],
        [b"feed", b"1", b"--to", b"redis://\xff"],
    ):
        to = [] if b"--to" in arguments else [b"--to", b"redis://127.0.0.1:1"]
        status, out, err = await publish(*arguments, *to)
        assert (status, out) == (2, []), err
        assert "UTF-8" in err or "utf-8" in err


async def test_line_ends_and_a_bom_of_other_systems_are_taken(redis: RedisServer):
    async with node(redis.url) as manager, manager.subscribe(FEED) as results:
        stdin = b"\xef\xbb\xbf\r\n1\r\n\r\n \t\n2\r\n3"
        status, out, err = await publish(
            *("feed", "-", "--lines", "--json", "--to", redis.url), stdin=stdin
        )
        assert (status, err) == (0, "")
        assert [json.loads(line)["line"] for line in out] == [2, 5, 6]
        status, _, err = await publish(
            "feed", "-", "--to", redis.url, stdin=b"\xef\xbb\xbf\r\n4\r\n"
        )
        assert (status, err) == (0, "")
        assert await take(results, 4) == [1, 2, 3, 4]


async def test_an_event_that_a_server_refuses_is_named_by_its_line():
    security = Security(tenant=TenantIsolation())
    async with node("memory://", security=security).serve(port=0, publish_key=KEY) as server:
        stdin = b'{"tenant_id":"acme"}\n{"tenant_id":"other"}\n{"tenant_id":"acme"}\n'
        status, out, err = await publish(
            *("envelopes", "-", "--lines", "--tenant", "acme", "--to", server.publish_url),
            stdin=stdin,
            FRAISEQL_SUBS_PUBLISH_KEY=KEY,
        )
        assert (status, out) == (1, [])
        first, second, third = err.splitlines()
        assert "line 1: another event of the same request was refused" in first
        assert "line 2: " in second and "tenant_id is `acme`" in second and "events[" not in second
        assert "line 3: another event" in third and "may succeed" in third


async def test_long_lines_are_sent_in_requests_that_a_server_takes():
    async with node("memory://").serve(port=0, publish_key=KEY) as server:
        stdin = b"".join(b'"%s"\n' % (b"x" * 100_000) for _ in range(50))
        status, out, err = await publish(
            *("other", "-", "--lines", "--to", server.publish_url),
            stdin=stdin,
            FRAISEQL_SUBS_PUBLISH_KEY=KEY,
        )
        assert (status, err, len(out)) == (0, "", 50)


async def shell(command: str, **environment: str) -> tuple[int, str, str]:
    """Run a command line of a shell; return its status, its output, and its errors."""
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", command),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
    )
    out, err = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode is not None and b"Traceback" not in err, err.decode()
    return process.returncode, out.decode(), err.decode()


async def test_an_input_that_cannot_be_read_is_told(redis: RedisServer):
    to = f"--to {redis.url}"
    for lines, expected in (("--lines", 1), ("", 2)):
        for source, part in (("<&-", "stdin is closed"), ("0>/dev/null", "stdin cannot be read")):
            status, out, err = await shell(f"{COMMAND} feed - {lines} {to} {source}")
            assert (status, out) == (expected, ""), err
            assert part in err


async def test_an_output_that_cannot_be_written_ends_it(redis: RedisServer):
    many = "yes 7 | head -n 5000 |"
    command = f"{COMMAND} feed - --lines --to {redis.url}"
    status, out, err = await shell(f"set -o pipefail; {many} {command} | head -n 1")
    assert status == 1 and len(out.splitlines()) == 1
    assert err in ("", "yes: standard output: Broken pipe\n"), err
    status, _, err = await shell(f"echo 7 | {command} >/dev/full")
    assert status == 1 and "stdout cannot be written" in err and len(err.splitlines()) == 1
    assert (await shell(f"echo 7 | {command} >&-"))[:2] == (0, "")
    assert (await shell(f"echo '{{' | {command} 2>&-"))[:2] == (1, "")
    assert (await shell(f"echo '{{' | {command} 2>/dev/full"))[:2] == (1, "")
    status, out, err = await shell(
        f"{COMMAND} feed 7 --event-id é --to {redis.url}", PYTHONIOENCODING="ascii"
    )
    assert (status, err) == (0, "") and out.startswith("\\xe9 is published at")


@contextlib.asynccontextmanager
async def silent_server() -> AsyncIterator[tuple[str, asyncio.Event]]:
    """Take connections and never answer; yields the URL and whether a request has come."""
    has_come = asyncio.Event()

    async def take_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        has_come.set()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(take_all, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/publish", has_come


async def test_ctrl_c_ends_it_at_once_while_it_waits_for_an_answer():
    async with silent_server() as (url, has_come):
        process = await start(
            *("feed", "7", "--timeout", "3600", "--to", url), FRAISEQL_SUBS_PUBLISH_KEY=KEY
        )
        await asyncio.wait_for(has_come.wait(), PATIENCE)
        process.send_signal(signal.SIGINT)
        out, err = await asyncio.wait_for(process.communicate(), PATIENCE)
        assert (process.returncode, out) == (130, b"")
        assert err.decode().splitlines() == ["stopped: 0 events were published"]


def unread(pipe: int) -> int:
    """Return the number of bytes in a pipe."""
    count = fcntl.ioctl(pipe, termios.FIONREAD, bytes(4))
    return int.from_bytes(count, sys.byteorder)


@pytest.mark.parametrize("lines", [(), ("--lines",)])
async def test_ctrl_c_ends_it_at_once_while_it_waits_for_input(lines):
    stdin, source = os.pipe()
    try:
        to = ("--to", "redis://127.0.0.1:1")
        process = await start("feed", "-", *lines, *to, stdin=stdin)
        os.write(source, b"1")
        await eventually(lambda: unread(source) == 0, "it reads its input")
        process.send_signal(signal.SIGINT)
        # Its input stays open.
        out, err = await asyncio.wait_for(process.communicate(), PATIENCE)
        assert (process.returncode, out) == (130, b"")
        assert err.decode().splitlines() == ["stopped: 0 events were published"]
    finally:
        os.close(stdin)
        os.close(source)
