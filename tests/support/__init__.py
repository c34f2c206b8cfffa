"""Helpers for all tests."""

from support.programs import log_file, program
from support.waiting import PATIENCE, eventually, eventually_sync

__all__ = ["PATIENCE", "eventually", "eventually_sync", "log_file", "program"]
