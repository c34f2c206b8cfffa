"""What the nodes serve and the worker publishes: one declaration for all processes."""

import os
from dataclasses import dataclass
from enum import Enum

from fraiseql_subs import SubscriptionManager, passthrough


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


manager = SubscriptionManager(
    [passthrough("orderUpdated", Order, channel="orders")],
    bus=os.environ.get("BUS", "redis://127.0.0.1:6379"),
)
