"""Tools for tests of an application: a client without sockets, and time that can be advanced.

The plugin of pytest is in `plugin`. It is found by pytest itself; nothing here needs pytest.
"""

from .client import TestClient
from .clock import Clock
from .connection import TestConnection
from .results import ConnectionEnded, TestSubscription
from .sync import SyncTestClient, SyncTestSubscription

__all__ = [
    "Clock",
    "ConnectionEnded",
    "SyncTestClient",
    "SyncTestSubscription",
    "TestClient",
    "TestConnection",
    "TestSubscription",
]
