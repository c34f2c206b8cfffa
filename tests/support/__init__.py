"""What tests of every kind share."""

from support.waiting import PATIENCE, eventually, eventually_sync

__all__ = ["PATIENCE", "eventually", "eventually_sync"]
