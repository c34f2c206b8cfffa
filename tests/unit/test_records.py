"""The number of records of a kind that are written, and the counting of the others."""

from __future__ import annotations

import logging

import pytest

from fraiseql_subs._records import TEXT_LENGTH, Records

LOGGER = logging.getLogger("fraiseql_subs.test")


def write(records: Records, text: str = "a", kind: str = "kind") -> bool:
    return records.write(LOGGER, logging.WARNING, text, event="test", kind=kind)


def test_a_burst_is_written_and_the_rest_counted(caplog):
    records = Records(burst=3, per_second=0.001)
    assert [write(records) for _ in range(5)] == [True, True, True, False, False]
    assert write(records, kind="other")
    records.flush()
    assert caplog.messages == ["a"] * 4 + ['2 more of "kind" were not written']
    assert caplog.records[-1].fields == {"unwritten": "2"}
    records.flush()
    assert len(caplog.records) == 5


def test_kinds_are_bounded(caplog):
    records = Records(burst=1, per_second=0.001)
    for number in range(2000):
        write(records, kind=str(number))
    assert len(caplog.records) < 300
    records.flush()
    assert '"others" were not written' in caplog.messages[-1]


def test_long_texts_are_cut(caplog):
    write(Records(), "x" * 100_000)
    (message,) = caplog.messages
    assert len(message) == TEXT_LENGTH and message.endswith("…")


def test_what_a_text_looks_like_does_not_matter(caplog):
    write(Records(), "100 % of %s")
    assert caplog.messages == ["100 % of %s"]


def test_a_handler_that_raises_raises_nowhere_else(capsys):
    class Raises(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise OSError("no space")

    handler, records = Raises(), Records()
    LOGGER.addHandler(handler)
    try:
        for _ in range(5):
            assert write(records)
    finally:
        LOGGER.removeHandler(handler)
    # Once in a minute.
    assert capsys.readouterr().err == "fraiseql_subs: a handler of logging raised OSError\n"


@pytest.mark.parametrize("exception", [KeyboardInterrupt, SystemExit])
def test_exceptions_that_end_the_program_propagate(exception):
    class Raises(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise exception

    handler = Raises()
    LOGGER.addHandler(handler)
    try:
        with pytest.raises(exception):
            write(Records())
    finally:
        LOGGER.removeHandler(handler)


def test_a_handler_that_has_something_to_say_itself_does_not_recurse(caplog):
    records = Records()

    class Says(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            write(records, f"{record.getMessage()} again")

    handler = Says()
    LOGGER.addHandler(handler)
    try:
        assert write(records)
    finally:
        LOGGER.removeHandler(handler)
    assert sorted(caplog.messages) == ["a", "a again"]
