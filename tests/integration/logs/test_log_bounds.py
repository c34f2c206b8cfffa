"""The log records that clients can cause are bounded, and failing handlers are isolated."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from support import PATIENCE, eventually

from fraiseql_subs import (
    RBAC,
    Event,
    Identity,
    Limits,
    Security,
    SubscriptionManager,
    ValidationError,
    passthrough,
    subscription,
)

pytestmark = pytest.mark.attack

PROGRAM = Path(__file__).with_name("refused_requests.py")
PAGE = "https://page.example"
TURN_RECORDS = 16
AT_ONCE, PER_SECOND = 100, 10
SUMMARY = re.compile(r"^(\d+) more of \"(.*)\" were not written$")


class Watch(logging.Handler):
    """Keeps the records of this package, and how many one turn of the event loop writes.

    A timer writes the counts; it may end in any turn.
    """

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self.in_turn = self.most_in_turn = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        if SUMMARY.match(record.getMessage()):
            return
        if self.in_turn == 0:
            asyncio.get_running_loop().call_soon(self._end_turn)
        self.in_turn += 1
        self.most_in_turn = max(self.most_in_turn, self.in_turn)

    def _end_turn(self) -> None:
        self.in_turn = 0

    @property
    def texts(self) -> list[str]:
        return [record.getMessage() for record in self.records]

    @property
    def written(self) -> list[str]:
        return [text for text in self.texts if not SUMMARY.match(text)]

    def counted(self, name: str = "") -> int:
        """The counts in the summaries, of one kind or of all."""
        found = [SUMMARY.match(text) for text in self.texts]
        return sum(int(match[1]) for match in found if match and name in match[2])


@contextlib.contextmanager
def handled(handler: logging.Handler, name: str = "fraiseql_subs") -> Iterator[None]:
    logger = logging.getLogger(name)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


@pytest.fixture
def watch() -> Iterator[Watch]:
    watch = Watch()
    with handled(watch):
        yield watch


def make_manager(**security: Any) -> SubscriptionManager:
    ticks = passthrough("ticks", int, channel="ticks")
    return SubscriptionManager([ticks], security=Security(origins=[PAGE], **security))


async def refused(port: int, count: int, size: int = 8) -> None:
    """Have `count` requests refused while the event loop runs."""
    arguments = [str(PROGRAM), str(port), str(count), str(size)]
    program = await asyncio.create_subprocess_exec(sys.executable, *arguments)
    assert await program.wait() == 0


@pytest.mark.alone
async def test_a_flood_is_handed_over_in_turns_and_counted(serve, watch):
    manager = make_manager()
    server = await serve(manager)
    count, unwritten = 20_000, manager.metrics().log_records_unwritten
    started = time.monotonic()
    await refused(server.port, count)
    seconds = time.monotonic() - started
    assert manager.metrics().denied_origin == count
    await eventually(lambda: len(watch.written) + watch.counted() == count, "all are told")
    assert watch.most_in_turn <= TURN_RECORDS
    assert len(watch.written) <= AT_ONCE + PER_SECOND * (seconds + 1)
    # Once in a second, and a last time.
    assert len(watch.records) - len(watch.written) <= seconds + 3
    assert manager.metrics().log_records_unwritten - unwritten == watch.counted()
    assert {record.name for record in watch.records} == {"fraiseql_subs.audit"}
    assert {record.fields["check"] for record in watch.records} == {"origin"}


@pytest.mark.alone
async def test_records_that_wait_for_a_stopped_loop_are_bounded(serve, watch):
    manager = make_manager()
    server = await serve(manager)
    count = 4_000
    # The loop is blocked until the process has ended.
    arguments = [sys.executable, PROGRAM, str(server.port), str(count), "30000"]
    subprocess.run(arguments, check=True)  # noqa: ASYNC221
    await eventually(lambda: len(watch.written) + watch.counted() >= count, "all are told")
    assert watch.most_in_turn <= TURN_RECORDS
    assert max(len(text) for text in watch.texts) < 1000
    (origin,) = {r.fields["origin"] for r in watch.records if "origin" in r.fields}
    assert origin.startswith("https://xxx") and origin.endswith("…") and len(origin) <= 256


@pytest.mark.alone
async def test_a_flood_of_one_kind_hides_no_other(serve, watch):
    rules = {"rbac": RBAC(subscriptions={"ticks": "read"})}
    manager = make_manager(**rules)
    server = await serve(manager)
    await refused(server.port, 1_024)
    with pytest.raises(ValidationError):
        await anext(manager.subscribe("subscription { ticks }", identity=Identity("ada")))
    await eventually(
        lambda: any("check='rbac'" in text and "'ada'" in text for text in watch.texts),
        "the denial is written",
    )


@pytest.mark.alone
async def test_the_count_is_logged_when_the_manager_ends(watch):
    manager = make_manager()
    async with manager.serve(port=0) as server:
        await refused(server.port, 1_024)
    assert len(watch.written) + watch.counted("request denied check='origin'") == 1_024


@pytest.mark.alone
async def test_faults_that_all_differ_are_counted_past_the_rate(watch):
    def kind_of(number: int) -> type[Exception]:
        return type(f"Fault{number}", (Exception,), {})

    @subscription(channel="events")
    def value(event: Event) -> int:
        raise kind_of(event.data)("x" * 10)

    count = 400
    async with SubscriptionManager([value]) as manager:
        async with manager.subscribe("subscription { value }") as stream:
            for number in range(count):
                await manager.publish("events", number)
                assert (await anext(stream)).errors
        assert manager.metrics().resolver_errors == count
    assert watch.counted("faults") + len(watch.written) == count
    assert watch.counted("faults") > 0


class Raises(logging.Handler):
    def __init__(self, exception: Exception) -> None:
        super().__init__()
        self.exception = exception

    def emit(self, record: logging.LogRecord) -> None:
        raise self.exception


class Recurses(logging.Handler):
    """Logs a record for each record."""

    def emit(self, record: logging.LogRecord) -> None:
        logging.getLogger(record.name).warning("a handler of %s", record.name)


class Subscribes(logging.Handler):
    """Causes a fault for each record, whose record causes another."""

    def emit(self, record: logging.LogRecord) -> None:
        from fraiseql_subs._faults import faults

        kind = type(f"Fault{time.monotonic_ns()}", (Exception,), {})
        faults.raised("the handler raised", kind())


HANDLERS: dict[str, Callable[[], logging.Handler]] = {
    "raises": lambda: Raises(ValueError("broken")),
    "a full disk": lambda: Raises(OSError(errno.ENOSPC, "No space left on device")),
    "a full device": lambda: logging.FileHandler("/dev/full"),
    "recurses": Recurses,
    "makes faults": Subscribes,
    "a closed file": lambda: closed_handler(),
}


def closed_handler() -> logging.Handler:
    handler = logging.FileHandler("/dev/null")
    handler.stream.close()
    return handler


@pytest.mark.parametrize("kind", HANDLERS)
async def test_a_handler_that_fails_does_no_harm(kind, serve, connect, capfd):
    @subscription(channel="events")
    def broken(event: Event) -> int:
        raise RuntimeError("broken")

    handler, started = HANDLERS[kind](), time.monotonic()
    with handled(handler):
        # It warns about the keepalive.
        manager = SubscriptionManager(
            [broken, passthrough("ticks", int, channel="events")],
            security=Security(origins=[PAGE]),
            limits=Limits(keepalive=60.0),
        )
        server = await serve(manager)
        await refused(server.port, 320)
        client = await connect(server.url, origin=PAGE)
        failing = await client.subscribe("subscription { broken }")
        for number in range(5):
            await manager.publish("events", number)
            assert (await client.receive_next(failing))["errors"]
        await client.complete(failing)
        await client.subscribe("subscription { ticks }")
        await manager.publish("events", 1)
        assert await client.receive_data() == {"ticks": 1}
        async with httpx.AsyncClient(timeout=PATIENCE) as http:
            url = server.http_url
            answer = await http.post(
                url, json={"query": "{ __typename }"}, headers={"origin": PAGE}
            )
        assert answer.status_code == 200
        await manager.close()
    with contextlib.suppress(OSError, ValueError):
        handler.close()
    told = capfd.readouterr().err
    # `logging` itself reports each record that one of its handlers cannot write.
    by_logging = told.count("--- Logging error ---")
    assert by_logging <= AT_ONCE + PER_SECOND * (time.monotonic() - started + 1) + 20
    if not by_logging:
        # This package reports it once in a minute.
        assert told.count("\n") <= 1


@pytest.mark.alone
async def test_what_a_handler_raised_is_counted_and_the_rest_is_written(serve, watch, capfd):
    manager = make_manager()
    server = await serve(manager)
    before = manager.metrics().log_records_unwritten
    failing = Raises(ValueError("broken"))
    with handled(failing, "fraiseql_subs.audit"):
        await refused(server.port, 32)
        await eventually(
            lambda: manager.metrics().log_records_unwritten - before == 32, "they are counted"
        )

    async def is_written() -> bool:
        await refused(server.port, 32)
        return bool(watch.written)

    await eventually(is_written, "the next ones are written")
