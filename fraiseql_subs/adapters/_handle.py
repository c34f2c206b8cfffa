"""Returns the core that an adapter serves."""

from __future__ import annotations

from .._core_handle import CoreHandle
from ..config import refuse
from ..manager import SubscriptionManager


def handle_of(manager: object) -> CoreHandle:
    """Return the handle of a manager's core.

    Raises:
        ConfigurationError: It is not a manager, but for example the class itself.
    """
    if not isinstance(manager, SubscriptionManager):
        remedy = "pass an instance, such as SubscriptionManager(subscriptions=[...])"
        refuse("manager", manager, remedy)
    # The only access to this attribute outside of the manager.
    return manager._handle  # noqa: SLF001
