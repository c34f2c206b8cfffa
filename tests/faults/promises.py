"""What has to hold whatever breaks. Letters are those of the fault table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise

from deployment import Deployment
from support.ledger import Entry, Ledger
from support.observer import Missed, Observation, Received

MEMORY = 192.0
"""What a node may have more than at its start (MiB): its history, its queues, and fragmentation."""

SHOWN = 5
"""How many failures a message shows (count)."""


def check(
    deployment: Deployment,
    *,
    nothing_missed: bool = False,
    may_be_refused: bool = False,
    positions_are_shared: bool = True,
) -> None:
    """Check A, C, E and F, which hold always, and B if the promise covers the fault.

    Call it after `settle`, which is D: the deployment delivers again.

    Args:
        deployment: What was broken.
        nothing_missed: Whether B holds as well.
        may_be_refused: Whether events may be refused for good.
        positions_are_shared: Whether a position is the same on all nodes.
    """
    observations, ledger = deployment.observations, deployment.ledger
    check_nothing_strange(observations)
    check_tenants(observations)
    check_order(observations, ledger)
    if positions_are_shared:
        check_positions(observations, ledger)
    check_losses_are_told(observations, ledger)
    if nothing_missed:
        check_nothing_missed(observations)
    check_outcomes(observations, ledger)
    if not may_be_refused:
        check_nothing_refused(ledger)
    check_memory(deployment)
    check_queue(deployment)


def check_nothing_strange(observations: Iterable[Observation]) -> None:
    """Check that clients were sent events and notices, and no error."""
    _fail(
        "clients were sent something else than events",
        (f"{one.name}: {fault}" for one in observations for fault in one.faults),
    )


def check_order(observations: Iterable[Observation], ledger: Ledger) -> None:
    """A: no event comes twice; those of one publisher that have a receipt come in its order.

    One without an answer may still arrive at the engine after later ones.
    """
    _fail("events came twice", _duplicates(observations))
    _fail(
        "events came in the wrong order",
        (
            f"{one.name}: {after} after {before}"
            for one in observations
            for items in _by_publisher(one, ledger)
            for before, after in _pairs(items)
            if after.number <= before.number
        ),
    )


def _by_publisher(one: Observation, ledger: Ledger) -> Iterator[list[Received]]:
    """Yield what a client has received of each publisher and was accepted."""
    publishers = {entry.id: entry.publisher for entry in ledger.with_outcome("ok")}
    for publisher in sorted(set(publishers.values())):
        yield [item for item in one.received if publishers.get(item.id) == publisher]


def _duplicates(observations: Iterable[Observation]) -> Iterator[str]:
    for one in observations:
        counts = Counter(item.id for item in one.received)
        for event_id, count in counts.items():
            if count > 1:
                places = [str(item) for item in one.received if item.id == event_id]
                yield f"{one.name}: {event_id} {count} times: {places}"


def _pairs(items: list[Received]) -> Iterator[tuple[Received, Received]]:
    return pairwise(items)


def check_positions(observations: Iterable[Observation], ledger: Ledger) -> None:
    """A: an event has one position, on every node and in its receipt, and no other event has it."""
    receipts = {entry.id: entry.position for entry in ledger.with_outcome("ok")}
    events: dict[tuple[object, str], str] = {}
    _fail("positions differ", _differences(observations, receipts, events))
    _fail(
        "offsets do not grow",
        (
            f"{one.name}: {after} after {before}"
            for one in observations
            for before, after in _pairs(one.received)
            if _epoch(before) == _epoch(after) and _offset(after) <= _offset(before)
        ),
    )


def _differences(
    observations: Iterable[Observation],
    receipts: dict[str, str],
    events: dict[tuple[object, str], str],
) -> Iterator[str]:
    for one in observations:
        for item in one.received:
            if receipts.get(item.id, item.position) != item.position:
                yield f"{one.name}: {item}, but its receipt says {receipts[item.id]}"
            known = events.setdefault((one.stream, item.position), item.id)
            if known != item.id:
                yield f"{one.name}: {item}, but {known} has this position"


def _epoch(item: Received) -> str:
    return item.position.rpartition("-")[0]


def _offset(item: Received) -> int:
    return int(item.position.rpartition("-")[2])


def check_losses_are_told(observations: Iterable[Observation], ledger: Ledger) -> None:
    """A: what was accepted comes, or the client is told, where it is missing, that events are.

    "Where" is after the last event before the hole and before the first one after it.
    """
    _fail(
        "events were lost without a word",
        (
            f"{one.name} on {one.stream}: {entry} is neither received nor told to be missed"
            for one in observations
            for entry in silently_lost(one, ledger.of(one.stream))
        ),
    )


def silently_lost(observation: Observation, entries: list[Entry]) -> Iterator[Entry]:
    """Yield accepted events of a stream that a client has not, and was not told to miss.

    Each publisher has an order of its own.
    """
    for publisher in sorted({entry.publisher for entry in entries}):
        yield from _silently_lost(
            observation, [entry for entry in entries if entry.publisher == publisher]
        )


def _silently_lost(observation: Observation, entries: list[Entry]) -> Iterator[Entry]:
    if observation.confirmed is None:
        return
    log = observation.log
    places = {item.id: place for place, item in enumerate(log) if isinstance(item, Received)}
    notices = [place for place, item in enumerate(log) if isinstance(item, Missed)]
    expected = [
        entry
        for entry in entries
        if entry.order >= observation.confirmed
        and entry.part == observation.part
        and entry.outcome == "ok"
    ]
    before, hole = -1, []
    for entry in [*expected, None]:
        if entry is not None and entry.id not in places:
            hole.append(entry)
            continue
        after = len(log) if entry is None else places[entry.id]
        if hole and not any(before < place < after for place in notices):
            yield from hole
        before, hole = after, []


def check_nothing_missed(observations: Iterable[Observation]) -> None:
    """B: no client was told that events are missing."""
    _fail("clients have missed events", (_notices(one) for one in observations if one.missed))


def check_missed_once(observations: Iterable[Observation]) -> None:
    """Check that each client was told once that events may be missing."""
    _fail(
        "clients were not told exactly once that events are missing",
        (_notices(one) for one in observations if one.missed != 1),
    )


def _notices(one: Observation) -> str:
    places = [place for place, item in enumerate(one.log) if isinstance(item, Missed)]
    around = [one.log[max(place - 1, 0) : place + 2] for place in places[:3]]
    return f"{one.name} on {one.stream}: told {one.missed} times: {around}"


def check_outcomes(observations: list[Observation], ledger: Ledger) -> None:
    """C: each call was answered; what was not sent never comes, and nothing comes that was not."""
    known = {entry.id: entry for entry in ledger.entries}
    _fail(
        "calls of publish were not answered",
        (str(entry) for entry in ledger.entries if entry.outcome == "pending"),
    )
    unsent = {entry.id for entry in ledger.with_outcome("not_sent")}
    _fail(
        "events came that were not sent, as their publisher was told",
        (
            f"{one.name}: {item}"
            for one in observations
            for item in one.received
            if item.id in unsent
        ),
    )
    _fail(
        "events came that were not published",
        (
            f"{one.name}: {item}"
            for one in observations
            for item in one.received
            if item.id not in known
        ),
    )


def check_nothing_refused(ledger: Ledger) -> None:
    """C: publishing an event again may succeed."""
    _fail(
        "publishing failed for good",
        (
            f"{entry}: {entry.error}"
            for entry in ledger.entries
            if entry.error is not None and not entry.error.retryable
        ),
    )


def check_memory(deployment: Deployment) -> None:
    """E: no node has grown past its bounds."""
    _fail(
        "nodes have grown",
        (
            f"{node.name}: from {node.memory_before:.0f} to {node.server.memory:.0f} MiB"
            for node in deployment.nodes
            if node.server.is_running and node.server.memory > node.memory_before + MEMORY
        ),
    )


def check_queue(deployment: Deployment) -> None:
    """E: nothing waits to be published any more."""
    metrics = deployment.manager.metrics()
    assert (metrics.bus_queue_events, metrics.bus_queue_bytes) == (0, 0), metrics


def check_tenants(observations: Iterable[Observation]) -> None:
    """F: no client has an event of another tenant, or one that its filter excludes."""
    _fail(
        "events reached the wrong clients",
        (
            f"{one.name} on {one.stream}, part {one.part}: {item}"
            for one in observations
            for item in one.received
            if not item.id.startswith(f"{one.stream.tenant}.{one.stream.channel}.")
            or item.part != one.part
        ),
    )


def _fail(what: str, failures: Iterable[str]) -> None:
    """Fail with the first of them, if there are any."""
    found = list(failures)
    shown = "\n".join(found[:SHOWN])
    assert not found, f"{what}, {len(found)} times:\n{shown}"
