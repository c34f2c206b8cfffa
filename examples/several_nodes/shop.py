"""What the nodes serve and the worker publishes."""

import os
from dataclasses import dataclass
from enum import Enum

from fraiseql_subs import SubscriptionManager, passthrough

BUS = os.environ.get("BUS", "redis://127.0.0.1:6379")
"""The engine: the same for all processes."""


class Status(Enum):
    """Where an order is."""

    NEW = "NEW"
    PAID = "PAID"
    SHIPPED = "SHIPPED"


@dataclass
class Order:
    """An order as subscribers see it."""

    id: int
    status: Status


manager = SubscriptionManager([passthrough("orderUpdated", Order, channel="orders")], bus=BUS)
