"""What adapters serve: the core of a manager that they are made for."""

from __future__ import annotations

from .._core_handle import CoreHandle
from ..config import refuse
from ..manager import SubscriptionManager


def handle_of(manager: object) -> CoreHandle:
    """Return the handle of a manager's core.

    Raises:
        ConfigurationError: It is no manager, such as the class itself.
    """
    if not isinstance(manager, SubscriptionManager):
        remedy = "give an instance, such as SubscriptionManager(subscriptions=[...])"
        refuse("manager", manager, remedy)
    # The one place outside the manager that knows where it is.
    return manager._handle  # noqa: SLF001
