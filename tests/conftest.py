"""Fixtures and hooks for all tests: keep tests independent of each other."""

from __future__ import annotations

import gc
import logging
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from fraiseql_subs._core import flush_log
from fraiseql_subs._faults import faults
from fraiseql_subs._records import records

ALONE = "TEST_RUNS_ALONE"
"""Set in a process that runs one test."""

HAS_FAILED = pytest.StashKey[bool]()


def pytest_configure() -> None:
    """Let Ctrl-C and the end of a terminal reach the programs that tests start.

    A shell has its background jobs ignore the one, `nohup` the other, and programs inherit that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        # A handler is not inherited, and this process still ignores it.
        signal.signal(signal.SIGHUP, lambda *_: None)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is marked `alone` in a separate process.

    Such a test counts resources of the whole process: descriptors, threads, memory.
    """
    if pyfuncitem.get_closest_marker("alone") is None or ALONE in os.environ:
        return None
    test = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", pyfuncitem.nodeid],
        cwd=pyfuncitem.config.rootpath,
        env={**os.environ, ALONE: "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert test.returncode == 0, test.stdout
    return True


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Write the log records that earlier tests have left, so that no test finds them among its own,
    and forget how many there were, so that no record of this test is only counted.
    """
    flush_log()
    faults.flush()
    records._kinds.clear()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Record which test has failed."""
    report: Any = yield
    if report.failed:
        item.stash[HAS_FAILED] = True
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Undo what a test has left: its configuration of the root logger, which frameworks change, and
    the objects that a failed test has left open.
    """
    level, handlers = logging.root.level, logging.root.handlers[:]
    result = yield
    logging.root.setLevel(level)
    logging.root.handlers[:] = handlers
    if item.stash.get(HAS_FAILED, False):
        # The frames of the failure refer to them.
        for name in ("last_exc", "last_value", "last_traceback"):
            setattr(sys, name, None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            gc.collect()
    return result
