"""The checks of this folder find what they are for: each is shown a log that breaks its promise."""

from __future__ import annotations

import promises
import pytest
from support.ledger import Entry, Ledger, StreamName
from support.observer import Missed, Observation, Received

STREAM = StreamName("acme", "c0")


def ledger(*outcomes: str) -> Ledger:
    """Make a ledger of events of one stream, whose numbers and offsets count from 1."""
    made = Ledger(None)  # type: ignore[arg-type]
    for outcome in outcomes:
        entry = made.begin(STREAM, part=0)
        entry.outcome = outcome
        entry.position = f"a-{entry.number}" if outcome == "ok" else ""
    return made


def observation(*log: int | Missed | Received) -> Observation:
    """Make what a client has noted; a number is the event that has it."""

    def item(one: int | Missed | Received) -> Missed | Received:
        if not isinstance(one, int):
            return one
        entry = Entry(0, STREAM, one, 0)
        return Received(entry.id, one, 0, f"a-{one}")

    return Observation("client", STREAM, 0, confirmed=0, log=[item(one) for one in log])


GAP = Missed("a-0")


@pytest.mark.parametrize(
    ("log", "lost"),
    [
        ([1, 2, 3], []),
        ([1, 3], [2]),
        ([2, 3], [1]),
        ([1, 2], [3]),
        ([], [1, 2, 3]),
        ([1, GAP, 3], []),
        ([GAP, 3], []),
        ([1, GAP], []),
        ([GAP], []),
        # Told before the event that came before the hole, or after the one that came after it.
        ([GAP, 1, 3], [2]),
        ([1, 3, GAP], [2]),
        ([1, 2, 3, GAP], []),
    ],
)
def test_a_loss_is_silent_unless_it_is_told_where_it_is(log, lost):
    entries = ledger("ok", "ok", "ok").of(STREAM)
    found = promises.silently_lost(observation(*log), entries)
    assert [entry.number for entry in found] == lost


def test_only_what_was_accepted_after_the_confirmation_has_to_come():
    later = observation(4)
    later.confirmed = 1
    entries = ledger("ok", "unknown", "not_sent", "ok").of(STREAM)
    assert list(promises.silently_lost(later, entries)) == []
    other_part = observation(1)
    other_part.part = 1
    assert list(promises.silently_lost(other_part, entries)) == []


@pytest.mark.parametrize("log", [[1, 1], [1, 2, 1], [2, 1]])
def test_duplicates_and_wrong_orders_are_found(log):
    with pytest.raises(AssertionError, match=r"twice|wrong order"):
        promises.check_order([observation(*log)], ledger("ok", "ok"))


def test_an_event_without_an_answer_may_come_late_but_once():
    published = ledger("unknown", "ok")
    promises.check_order([observation(2, 1)], published)
    with pytest.raises(AssertionError, match="twice"):
        promises.check_order([observation(2, 1, 1)], published)


def test_each_publisher_has_an_order_of_its_own():
    published = ledger("ok", "ok")
    other = published.beside(None, "other")  # type: ignore[arg-type]
    for _ in range(2):
        entry = other.begin(STREAM, part=0)
        entry.outcome = "ok"
    promises.check_order([observation(3, 1, 4, 2)], published)
    with pytest.raises(AssertionError, match="wrong order"):
        promises.check_order([observation(4, 1, 3, 2)], published)
    # The second of each is missing: it was to come after the first.
    entries = published.of(STREAM)
    assert list(promises.silently_lost(observation(3, 1, GAP), entries)) == []
    lost = promises.silently_lost(observation(3, GAP, 1), entries)
    assert [entry.number for entry in lost] == [2]


def test_positions_that_differ_are_found():
    first = Received("acme.c0.1", 1, 0, "a-7")
    with pytest.raises(AssertionError, match="its receipt says a-1"):
        promises.check_positions([observation(first)], ledger("ok"))
    second = Received("acme.c0.2", 2, 0, "a-7")
    with pytest.raises(AssertionError, match=r"acme\.c0\.1 has this position"):
        promises.check_positions([observation(first), observation(second)], ledger())
    backwards = [Received("x", 1, 0, "a-7"), Received("y", 2, 0, "a-6")]
    with pytest.raises(AssertionError, match="offsets do not grow"):
        promises.check_positions([observation(*backwards)], ledger())


@pytest.mark.parametrize(
    ("outcome", "message"),
    [("pending", "were not answered"), ("not_sent", "came that were not sent")],
)
def test_outcomes_that_are_untrue_are_found(outcome, message):
    with pytest.raises(AssertionError, match=message):
        promises.check_outcomes([observation(1)], ledger(outcome))


def test_events_that_were_not_published_are_found():
    with pytest.raises(AssertionError, match="came that were not published"):
        promises.check_outcomes([observation(1, 2)], ledger("ok"))


@pytest.mark.parametrize(
    "item", [Received("other.c0.1", 1, 0, "a-1"), Received("acme.c0.1", 1, 1, "a-1")]
)
def test_events_of_others_are_found(item):
    with pytest.raises(AssertionError, match="reached the wrong clients"):
        promises.check_tenants([observation(item)])


def test_notices_are_counted():
    promises.check_missed_once([observation(1, GAP)])
    promises.check_nothing_missed([observation(1)])
    for log in ([1], [GAP, GAP]):
        with pytest.raises(AssertionError, match="exactly once"):
            promises.check_missed_once([observation(*log)])
    with pytest.raises(AssertionError, match="told 1 times"):
        promises.check_nothing_missed([observation(GAP)])
