"""The nodes that share an engine, and what they answer."""

from __future__ import annotations

from dataclasses import dataclass

from .metrics import ConnectionInfo


@dataclass(frozen=True, slots=True)
class Node:
    """One process with a manager; `SubscriptionManager.nodes` lists them.

    All but `id`, `name`, `version` and `started_at` is as the node has told it last: up to 6
    seconds ago, of this process now.

    Attributes:
        id: Its id, another one for each start.
        name: `node_name` of its manager, or host and process as `host:pid`.
        version: Version of this package there.
        started_at: When it was started, by its own clock (seconds since the epoch).
        connections: Client connections that are open there (count).
        subscriptions: Subscriptions that run there (count).
        lag: Events that it has received and not yet handed to its subscriptions (count).
        is_live: Whether it reaches the engine; True without one.
    """

    id: str
    name: str
    version: str
    started_at: float
    connections: int
    subscriptions: int
    lag: int
    is_live: bool


@dataclass(frozen=True, slots=True)
class Disconnected:
    """What came of `SubscriptionManager.disconnect`.

    Attributes:
        closed: Connections that were closed, on the nodes that have answered (count).
        answered: Nodes that have closed what was to be closed; this one is the first.
        unanswered: Nodes that have not answered in time, or are silent since less than 10 minutes:
            their connections may be open. With `revoke_for` they close them when they reach the
            engine again.
        is_complete: Whether every node was asked, and has answered. False as well while this
            process cannot reach the engine, and so may not know all nodes.
    """

    closed: int
    answered: tuple[Node, ...]
    unanswered: tuple[Node, ...]
    is_complete: bool


@dataclass(frozen=True, slots=True)
class ClusterConnections:
    """The open connections of all nodes; `connections(cluster=True)` of a manager returns it.

    Attributes:
        connections: Those of the nodes that have answered. Of `identity` they have `user_id` and
            `tenant_id` alone.
        answered: The nodes whose connections are listed, all of them; this one is the first.
        unanswered: Nodes that have not answered in time with all of their connections: none of them
            is listed.
        is_complete: Whether every node was asked, and has answered.
    """

    connections: tuple[ConnectionInfo, ...]
    answered: tuple[Node, ...]
    unanswered: tuple[Node, ...]
    is_complete: bool
