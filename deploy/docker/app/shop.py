"""What the nodes serve: orders, as PostgreSQL commits them, to the clients of every node."""

import os
from dataclasses import dataclass

from fraiseql_subs import Postgres, Security, SubscriptionManager, Table, passthrough


@dataclass
class Order:
    """A row of the table `orders`."""

    id: int
    item: str
    paid: bool


ORDERS = Table("orders", channel="orders", events=("insert", "update"))

manager = SubscriptionManager(
    [passthrough("orders", Order, channel="orders")],
    # Carries events from node to node.
    bus=os.environ["BUS_URL"],
    # Where they come from. One node reads; when it ends, another one goes on.
    sources=[Postgres(os.environ["DATABASE_URL"], tables=[ORDERS])],
    # The example knows no users: see docs/how-to/authenticate.md.
    security=Security(
        origins=[],  # of pages, those of the server itself alone
        hosts=os.environ.get("HOSTS", "localhost 127.0.0.1").split(),
        status_hosts=["*"],  # probes and Prometheus use addresses
    ),
)
