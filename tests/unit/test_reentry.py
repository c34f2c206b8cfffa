"""Code of the application that logs at any time: finalizers, signal handlers.

A trace function is called before each line of the code under test, as a signal handler may be.
"""

from __future__ import annotations

import functools
import itertools
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from support import PATIENCE

import fraiseql_subs._faults
from fraiseql_subs._faults import Faults
from fraiseql_subs._records import Records

LOGGER = logging.getLogger("fraiseql_subs.test")
CODE = {
    str(Path(fraiseql_subs._faults.__file__).with_name(name))
    for name in ("_faults.py", "_records.py", "_section.py")
}


@pytest.fixture(autouse=True)
def records(monkeypatch) -> Records:
    """Write all faults, without the limit of their number."""
    records = Records(burst=1_000_000)
    monkeypatch.setattr(fraiseql_subs._faults, "records", records)
    return records


class Interrupted:
    """Inside it `interrupt` is called once, before the line of this number."""

    def __init__(self, number: int, interrupt: Callable[[], object]) -> None:
        self.left = number
        self.interrupt = interrupt
        self.is_done = False

    def __enter__(self) -> Interrupted:
        self.previous = sys.gettrace()
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(self.previous)

    def _trace(self, frame: FrameType, event: str, argument: object) -> Any:
        if frame.f_code.co_filename not in CODE:
            return None
        if event == "line" and not self.is_done:
            self.is_done = self.left == 0
            self.left -= 1
            if self.is_done:
                self.interrupt()
        return self._trace


def at_each_line(act: Callable[[Callable[..., Interrupted]], None]) -> int:
    """Run `act` with an interruption at its first line, then its second, up to its last."""
    for number in itertools.count():
        made: list[Interrupted] = []
        act(functools.partial(_make, made, number))
        if not made[0].is_done:
            return number
    raise AssertionError


def _make(made: list[Interrupted], number: int, interrupt: Callable[[], object]) -> Interrupted:
    made.append(Interrupted(number, interrupt))
    return made[0]


def written(records: Records, kind: str) -> bool:
    return records.write(LOGGER, logging.WARNING, kind, event=kind)


def test_a_record_within_a_record_is_written(caplog):
    def act(interrupted) -> None:
        caplog.clear()
        records = Records()
        with interrupted(lambda: written(records, "inner")) as interruption:
            written(records, "outer")
        expected = ["inner", "outer"] if interruption.is_done else ["outer"]
        assert sorted(caplog.messages) == expected

    assert at_each_line(act) > 10


@pytest.mark.parametrize("inner", ["write", "flush"])
def test_no_record_is_lost_or_counted_twice(inner, caplog):
    def act(interrupted) -> None:
        caplog.clear()
        records = Records(burst=2, per_second=1e-6)
        calls = {"write": lambda: written(records, "a"), "flush": records.flush}
        with interrupted(calls[inner]) as interruption:
            for _ in range(4):
                written(records, "a")
            records.flush()
        records.flush()
        told = [int(text.split()[0]) for text in caplog.messages if " more of " in text]
        expected = 5 if inner == "write" and interruption.is_done else 4
        assert caplog.messages.count("a") + sum(told) == expected

    assert at_each_line(act) > 20


@pytest.mark.parametrize("inner", ["the same", "another", "flush"])
def test_no_fault_is_lost_or_counted_twice(inner, caplog):
    def raised(table: Faults, what: str) -> None:
        table.report(what, LOGGER, logging.ERROR, what, event="test")

    def act(interrupted) -> None:
        caplog.clear()
        table = Faults(capacity=2)
        calls = {
            "the same": lambda: raised(table, "a"),
            "another": lambda: raised(table, "b"),
            "flush": table.flush,
        }
        with interrupted(calls[inner]) as interruption:
            for what in "aacad":
                raised(table, what)
            table.flush()
        table.flush()
        told = [int(text.split()[2]) for text in caplog.messages if "more since" in text]
        written = [text for text in caplog.messages if "more since" not in text]
        is_counted = interruption.is_done and inner != "flush"
        assert len(written) + sum(told) == 5 + is_counted

    assert at_each_line(act) > 40


class Says:
    """Logs when it is collected."""

    def __init__(self, table: Faults) -> None:
        self.table = table

    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        self.table.report("compared", LOGGER, logging.ERROR, "compared", event="test")
        return False

    def __del__(self) -> None:
        self.table.report("collected", LOGGER, logging.ERROR, "collected", event="test")


def test_finalizers_of_what_the_table_holds_may_log(caplog):
    table = Faults(capacity=1)
    for _ in range(3):
        table.report(Says(table), LOGGER, logging.ERROR, "says", event="test")
    table.flush()
    assert {"says", "collected"} <= set(caplog.messages)


@pytest.fixture
def signals() -> Iterator[list[Callable[[], object]]]:
    """Handlers that are called by signals, again and again."""
    handlers: list[Callable[[], object]] = []
    is_over = threading.Event()
    previous = signal.signal(signal.SIGUSR1, lambda *_: [handler() for handler in handlers])

    def send() -> None:
        while not is_over.wait(0.0002):
            os.kill(os.getpid(), signal.SIGUSR1)

    thread = threading.Thread(target=send)
    thread.start()
    yield handlers
    is_over.set()
    thread.join(PATIENCE)
    signal.signal(signal.SIGUSR1, previous)


@pytest.fixture
def own_logger() -> logging.Logger:
    """A logger whose records reach no handler of the process, because such a handler may lock."""
    logger = logging.Logger("own")
    logger.addHandler(logging.NullHandler())
    return logger


def test_a_signal_handler_may_log(signals, own_logger):
    table, said = Faults(capacity=8), 0

    def say() -> None:
        nonlocal said
        said += 1
        table.report(said % 20, own_logger, logging.ERROR, "said", event="test")

    signals.append(say)
    number = 0
    while said < 500:
        number += 1
        table.report(number % 20, own_logger, logging.ERROR, "reported", event="test")
    # Handlers that run after the test may hold locks.
    signals.clear()
    table.flush()
