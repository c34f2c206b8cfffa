"""Records are written by any running event loop of a manager, also if other loops are blocked."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import threading
from collections.abc import Callable, Iterator

import httpx
import pytest
import uvloop
from support import PATIENCE, eventually, eventually_sync

from fraiseql_subs import Security, SubscriptionManager, passthrough

PAGE = "https://page.example"
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
SUMMARY = re.compile(r"^(\d+) more of ")


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())

    def found(self, part: str) -> bool:
        return any(part in text for text in self.texts)

    def denials(self) -> int:
        """Records of denied requests that were written, and those that were counted."""
        texts = [text for text in self.texts if "request denied" in text]
        counts = [SUMMARY.match(text) for text in texts]
        return sum(int(count[1]) if count else 1 for count in counts)


@pytest.fixture
def kept() -> Iterator[Kept]:
    kept, logger = Kept(), logging.getLogger("fraiseql_subs")
    logger.addHandler(kept)
    yield kept
    logger.removeHandler(kept)


@pytest.fixture(params=LOOPS)
def new_loop(request) -> Iterator[Callable[[], asyncio.AbstractEventLoop]]:
    """Creates event loops, which are closed at the end."""
    loops: list[asyncio.AbstractEventLoop] = []

    def create() -> asyncio.AbstractEventLoop:
        loops.append(LOOPS[request.param]())
        return loops[-1]

    yield create
    for loop in loops:
        loop.close()


def make_manager(field: str) -> SubscriptionManager:
    """A manager that logs published values of `field` that do not fit its type."""
    security = Security(origins=[PAGE])
    return SubscriptionManager([passthrough(field, int, channel="events")], security=security)


async def log_a_fault(manager: SubscriptionManager, field: str) -> None:
    async with manager.subscribe(f"subscription {{ {field} }}") as stream:
        await manager.publish("events", "no number")
        assert (await anext(stream)).errors


@contextlib.contextmanager
def running(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


@contextlib.contextmanager
def standing(manager: SubscriptionManager, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """A loop that has run, is not closed, and may not run again."""
    loop.run_until_complete(manager.start())
    yield
    loop.run_until_complete(manager.close())


@contextlib.contextmanager
def blocked(manager: SubscriptionManager, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """A loop that runs a slow function."""
    release = threading.Event()
    with running(loop):
        asyncio.run_coroutine_threadsafe(manager.start(), loop).result(PATIENCE)
        loop.call_soon_threadsafe(release.wait)
        yield
        release.set()
        asyncio.run_coroutine_threadsafe(manager.close(), loop).result(PATIENCE)


@contextlib.contextmanager
def closed(manager: SubscriptionManager, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    loop.run_until_complete(manager.start())
    loop.close()
    yield
    asyncio.run(manager.close())


@pytest.fixture(params=[standing, blocked, closed], ids=lambda state: state.__name__)
def first(request, new_loop) -> Iterator[SubscriptionManager]:
    """A manager on a loop that does not run."""
    manager, loop = make_manager("first"), new_loop()
    with request.param(manager, loop):
        yield manager


def test_a_stopped_loop_does_not_delay_records_of_another(first, kept, new_loop):
    second = make_manager("second")
    loop = new_loop()

    async def main() -> None:
        async with second:
            for _ in range(2):
                await log_a_fault(second, "second")
            await eventually(lambda: kept.found("second"), "its fault is logged")

    loop.run_until_complete(main())


def test_records_of_a_stopped_loop_are_written_by_another(kept, new_loop):
    first, loop, release = make_manager("first"), new_loop(), threading.Event()
    with running(loop):
        call = log_a_fault_and_block(first, release)
        done = asyncio.run_coroutine_threadsafe(call, loop)

        async def main() -> None:
            async with make_manager("second"):
                await eventually(lambda: kept.found("first"), "the fault is logged")

        asyncio.run(main())
        release.set()
        done.result(PATIENCE)
        asyncio.run_coroutine_threadsafe(first.close(), loop).result(PATIENCE)


async def log_a_fault_and_block(manager: SubscriptionManager, release: threading.Event) -> None:
    async with manager.subscribe("subscription { first }") as stream:
        await manager.publish("events", "no number")
        # Records wait until this loop runs.
        release.wait()
        assert (await anext(stream)).errors


def test_counts_are_logged_by_a_running_loop(first, kept, new_loop):
    second, loop, count = make_manager("second"), new_loop(), 150

    async def main() -> None:
        async with second.serve(port=0) as server, httpx.AsyncClient(timeout=PATIENCE) as http:
            url = server.http_url
            for _ in range(count):
                response = await http.post(url, headers={"origin": "https://other.example"})
                assert response.status_code == 403
            await eventually(lambda: kept.denials() == count, "all are written or counted")

    loop.run_until_complete(main())


def test_a_manager_that_ends_leaves_the_log_to_the_other_on_its_loop(kept, new_loop):
    loop, second = new_loop(), make_manager("second")

    async def main() -> None:
        first = make_manager("first")
        await first.start()
        async with second:
            await first.close()
            await log_a_fault(second, "second")
            await eventually(lambda: kept.found("second"), "its fault is logged")

    loop.run_until_complete(main())


def test_a_loop_that_is_blocked_writes_nothing_twice(kept, new_loop):
    first, loop = make_manager("first"), new_loop()
    with blocked(first, loop):

        async def main() -> None:
            async with make_manager("second") as second:
                await log_a_fault(second, "second")
                await eventually(lambda: kept.found("second"), "its fault is logged")

        asyncio.run(main())
    loop.close()
    eventually_sync(lambda: kept.found("second"), "it is logged")
    assert len([text for text in kept.texts if "second" in text]) == 1
