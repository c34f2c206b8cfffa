"""The table of faults: records that are written, counts, and its size."""

from __future__ import annotations

import asyncio
import logging

import pytest

from fraiseql_subs._faults import Faults


def caught(error: Exception) -> Exception:
    try:
        raise error
    except Exception as exception:
        return exception


def test_a_repeated_fault_is_written_once_and_its_count_at_the_end(caplog):
    table = Faults()
    for _ in range(5):
        table.raised("the resolver of a raised", caught(ValueError("x")))
    (record,) = caplog.records
    assert record.getMessage() == "the resolver of a raised"
    assert record.exc_info is not None
    table.flush()
    assert caplog.records[-1].getMessage() == (
        "the resolver of a raised: counted 4 more since it was logged"
    )
    # A forgotten fault is new again.
    table.raised("the resolver of a raised", caught(ValueError("x")))
    assert len(caplog.records) == 3


async def test_the_count_is_written_when_the_window_is_over(caplog):
    written = asyncio.Event()

    class Watch(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "more since" in record.getMessage():
                written.set()

    watch = Watch()
    logging.getLogger("fraiseql_subs").addHandler(watch)
    try:
        table = Faults(window=0.01)
        # Repeats until one of them is within the window of another.
        while not written.is_set():
            table.raised("a", caught(ValueError("x")))
            await asyncio.sleep(0)
    finally:
        logging.getLogger("fraiseql_subs").removeHandler(watch)


def test_the_table_is_bounded_and_forgets_the_oldest(caplog):
    table = Faults(capacity=3)
    error = caught(ValueError("x"))
    for name in "abcd":
        table.raised(name, error)
        table.raised(name, error)
    assert len(table._known) == 3
    assert "a: counted 1 more" in caplog.text
    assert "b: counted 1 more" not in caplog.text


@pytest.mark.parametrize("exception", [KeyboardInterrupt(), SystemExit()])
def test_what_ends_calls_and_programs_is_no_fault(exception, caplog):
    Faults().raised("a", exception)
    assert caplog.records == []


def test_a_handler_that_reports_a_fault_of_its_own_does_not_deadlock(caplog):
    table = Faults()

    class Reports(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage() == "a":
                table.raised("b", caught(ValueError("y")))

    reports = Reports()
    logging.getLogger("fraiseql_subs").addHandler(reports)
    try:
        table.raised("a", caught(ValueError("x")))
    finally:
        logging.getLogger("fraiseql_subs").removeHandler(reports)
    assert sorted(record.getMessage() for record in caplog.records) == ["a", "b"]
