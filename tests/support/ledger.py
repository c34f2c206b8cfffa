"""Records published events as their publisher knows them: each with its number and its outcome.

Events are dicts of `id`, `number` (in the stream, in the order of the calls), `part` and `filler`.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from fraiseql_subs import PublishError, SubscriptionManager
from support.waiting import eventually

PARTS = 2
"""Parts into which filters divide a stream (count)."""

Outcome = Literal["pending", "ok", "not_sent", "unknown"]


class StreamName(NamedTuple):
    """A stream: its events have one order."""

    tenant: str
    channel: str


@dataclass
class Entry:
    """One event, and the outcome of publishing it.

    Attributes:
        order: Place among all calls of the ledger.
        number: Place among those for its stream.
        outcome: `"pending"` until the publisher was answered.
        position: What its receipt says; "" without.
        error: What publishing raised, if it did.
        publisher: Who has published it.
    """

    order: int
    stream: StreamName
    number: int
    part: int
    outcome: Outcome = "pending"
    position: str = ""
    error: PublishError | None = None
    publisher: str = ""

    @property
    def id(self) -> str:
        """The id of the event, also for the engine."""
        return f"{self.stream.tenant}.{self.stream.channel}.{self.number}"

    def data(self, filler: str = "") -> dict[str, Any]:
        """What is published."""
        return {"id": self.id, "number": self.number, "part": self.part, "filler": filler}


class Ledger:
    """All entries, and a publisher that writes them.

    Args:
        manager: Publishes; its `publish_timeout` bounds how long an entry is pending.
        publisher: Tells it from others.
    """

    def __init__(self, manager: SubscriptionManager, publisher: str = "") -> None:
        self.manager = manager
        self.publisher = publisher
        self.entries: list[Entry] = []
        self._numbers: dict[StreamName, Iterator[int]] = {}

    def beside(self, manager: SubscriptionManager, publisher: str) -> Ledger:
        """Return the ledger of another publisher, with the same entries."""
        other = Ledger(manager, publisher)
        other.entries, other._numbers = self.entries, self._numbers
        return other

    @property
    def order(self) -> int:
        """The place that the next entry has."""
        return len(self.entries)

    def of(self, stream: StreamName) -> list[Entry]:
        """Return the entries of a stream, in the order of the calls."""
        return [entry for entry in self.entries if entry.stream == stream]

    def with_outcome(self, *outcomes: Outcome) -> list[Entry]:
        """Return the entries with this outcome."""
        return [entry for entry in self.entries if entry.outcome in outcomes]

    def begin(self, stream: StreamName, part: int | None = None) -> Entry:
        """Create the next entry of a stream; without `part` the parts alternate."""
        number = next(self._numbers.setdefault(stream, itertools.count(1)))
        part = number % PARTS if part is None else part
        entry = Entry(self.order, stream, number, part, publisher=self.publisher)
        self.entries.append(entry)
        return entry

    def publish(self, stream: StreamName, part: int | None = None, filler: str = "") -> Any:
        """Publish the next event of a stream; the result resolves to its entry."""
        entry = self.begin(stream, part)
        return self._settle(entry, self.send(entry, filler))

    def send(self, entry: Entry, filler: str = "") -> Any:
        """Publish an entry; publishing it again publishes the same event."""
        tenant, channel = entry.stream
        return self.manager.publish(
            channel, entry.data(filler), tenant_id=tenant, event_id=entry.id
        )

    def settle_batch(self, entries: list[Entry], filler: str = "") -> Any:
        """Publish entries as one batch; the result resolves when it is answered."""
        batch = [
            {
                "channel": entry.stream.channel,
                "data": entry.data(filler),
                "tenant_id": entry.stream.tenant,
                "event_id": entry.id,
            }
            for entry in entries
        ]
        return self._settle_many(entries, self.manager.publish_many(batch))

    async def _settle(self, entry: Entry, publication: Any) -> Entry:
        try:
            receipt = await publication
        except PublishError as error:
            entry.outcome, entry.error = error.outcome, error
        else:
            entry.outcome, entry.position = "ok", receipt.position
        return entry

    async def _settle_many(self, entries: list[Entry], publication: Any) -> None:
        try:
            receipts = await publication
        except PublishError as error:
            # The outcome of the batch is that of its worst event, and holds for each.
            for entry in entries:
                entry.outcome, entry.error = error.outcome, error
        else:
            for entry, receipt in zip(entries, receipts, strict=True):
                entry.outcome, entry.position = "ok", receipt.position

    async def confirmed(self, stream: StreamName, part: int | None = None) -> Entry:
        """Publish until an event was accepted, and return its entry."""

        async def accepted() -> Entry | None:
            entry = await self.publish(stream, part)
            return entry if entry.outcome == "ok" else None

        found = await eventually(accepted, f"an event of {stream} is accepted")
        assert found is not None
        return found

    @asynccontextmanager
    async def traffic(
        self,
        streams: Iterable[StreamName],
        *,
        limit: int,
        window: int = 4,
        pause: float,
        filler: str = "",
    ) -> AsyncIterator[Traffic]:
        """Publish to all streams at once inside the block; leaving it waits for all answers.

        Args:
            streams: Each has a task.
            limit: Limit of the events of each stream. It is below that of the history, so a slow
                test reads as much of the history as a fast one.
            window: Limit of the calls for one stream that wait for an answer.
            pause: Time between two calls (seconds).
            filler: Text that makes events larger.
        """
        traffic = Traffic(self, list(streams))
        tasks = [
            asyncio.ensure_future(traffic.publish(stream, limit, window, pause, filler))
            for stream in traffic.streams
        ]
        try:
            yield traffic
        finally:
            traffic.is_over = True
            await asyncio.gather(*tasks)


class Traffic:
    """Events that are published while a test does something else."""

    def __init__(self, ledger: Ledger, streams: list[StreamName]) -> None:
        self.ledger = ledger
        self.streams = streams
        self.is_over = False
        self._began = ledger.order

    async def publish(
        self, stream: StreamName, limit: int, window: int, pause: float, filler: str
    ) -> None:
        """Publish to one stream until the block ends."""
        room = asyncio.Semaphore(window)
        under_way = set()
        for _ in range(limit):
            await room.acquire()
            if self.is_over:
                break
            task = asyncio.ensure_future(self.ledger.publish(stream, filler=filler))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            task.add_done_callback(lambda _: room.release())
            await asyncio.sleep(pause)
        await asyncio.gather(*under_way)

    def since(self, order: int) -> list[Entry]:
        """Return the entries of its publisher from a place in the ledger on."""
        entries = self.ledger.entries[max(order, self._began) :]
        return [entry for entry in entries if entry.publisher == self.ledger.publisher]

    @property
    def accepted(self) -> list[Entry]:
        """Those that were accepted so far."""
        return [entry for entry in self.since(self._began) if entry.outcome == "ok"]

    async def accepts(self, count: int = 3) -> None:
        """Wait until `count` further events of each stream were accepted."""
        order = self.ledger.order

        def is_done() -> bool:
            accepted = [entry.stream for entry in self.since(order) if entry.outcome == "ok"]
            return all(accepted.count(stream) >= count for stream in self.streams)

        await eventually(is_done, f"{count} more events of each stream are accepted")

    async def calls(self, count: int = 3) -> None:
        """Wait until `count` further calls of each stream were made, with any outcome."""
        order = self.ledger.order

        def is_done() -> bool:
            called = [entry.stream for entry in self.since(order)]
            return all(called.count(stream) >= count for stream in self.streams)

        await eventually(is_done, f"{count} more events of each stream are published")
