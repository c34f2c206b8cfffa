"""The system clock of one process, set by libfaketime."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

LIBRARY = next(iter(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)

needs_faketime = pytest.mark.skipif(LIBRARY is None, reason="libfaketime is not installed")

HOUR = 3600
"""Seconds of an hour."""


class Clock:
    """The clock of a process that is started with `environment`, but for its monotonic one."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self.set(0)
        self.environment = {
            # The C library next: the allocator of Redis reads the clock before libfaketime can.
            "LD_PRELOAD": f"{LIBRARY} libc.so.6",
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, seconds: int) -> None:
        """Set it ahead of the right time."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+d}")
        os.replace(new, self._file)
