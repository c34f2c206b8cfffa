"""The methods of a manager for connections and nodes, its own and those of other processes.

Not here: what nodes tell each other, which is in the compiled core.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, overload

from .cluster import ClusterConnections, Disconnected, Node
from .config import Identity, check_text, is_number, refuse
from .errors import ConfigurationError
from .metrics import ConnectionInfo

if TYPE_CHECKING:
    from ._core import Core

ANSWER_TIMEOUT = 2.0
"""How long other nodes have to answer, unless the call says so (seconds)."""

MAX_ANSWER_TIMEOUT = 60.0
"""How long a call may wait for other nodes at most (seconds)."""

MAX_REVOKE_FOR = 30 * 24 * 3600
"""The longest time of a revocation (seconds)."""

MAX_NODE_NAME = 128
"""The longest name of a node (bytes)."""

MAX_UNREADY_AFTER = 24 * 3600
"""The longest `unready_after` (seconds)."""


def check_node_name(name: object) -> None:
    """Refuse a name that is no text, or too long."""
    if name is None:
        return
    check_text("node_name", name, 'a name such as "web-1", or None')
    length = len(str(name).encode())
    if length > MAX_NODE_NAME:
        raise ConfigurationError(
            f"node_name has {length} bytes: use at most {MAX_NODE_NAME}, such as 'web-1'"
        )


def check_unready_after(seconds: object) -> None:
    """Refuse what is no time from 0."""
    is_time = is_number(seconds) and 0 <= seconds <= MAX_UNREADY_AFTER  # type: ignore[operator]
    if not (seconds is None or is_time):
        remedy = f"pass seconds from 0 to {MAX_UNREADY_AFTER}, or None"
        refuse("unready_after", seconds, remedy)


@dataclass(frozen=True, slots=True)
class Disconnecting:
    """Which connections are to be closed, and how, as the core reads it."""

    user_id: str | None
    tenant_id: str | None
    connection_id: str | None
    code: int
    reason: str
    revoke_for: float | None
    timeout: float


class Membership(ABC):
    """The methods of a manager for connections and nodes."""

    @property
    @abstractmethod
    def _core(self) -> Core:
        """The runtime, which a manager has."""

    async def disconnect(
        self,
        *,
        identity: Identity | None = None,
        tenant_id: str | None = None,
        connection_id: str | None = None,
        code: int = 4403,
        reason: str = "Forbidden",
        revoke_for: float | None = None,
        timeout: float = ANSWER_TIMEOUT,
    ) -> Disconnected:
        """Close the open connections that match all given arguments, on every node.

        Those of this process are closed first, whatever becomes of the others.

        Args:
            identity: Connections of this user; where it has a `tenant_id`, of that tenant alone.
            tenant_id: Connections of this tenant; default: that of `identity`, if it has one.
            connection_id: This connection, as in `Context.connection_id`.
            code: Close code: 1000, or 3000 to 4999.
            reason: Close reason, at most 123 bytes of UTF-8.
            revoke_for: Time for which every node refuses such clients with `code`, and closes what
                is open: also a node that cannot be reached now, as soon as it can, and one that
                starts later (seconds, at most 30 days). None: they may connect again at once.
            timeout: Time that the other nodes have to answer (seconds, at most 60).

        Returns:
            The number of closed connections, and which nodes have answered.

        Raises:
            ConfigurationError: No connection is selected by an argument, or an argument is out of
                its range.
            BusError: The revocation could not be kept, as the engine cannot be reached, refuses it,
                or keeps 10,000 already. The connections of this process, and of the nodes that
                could be reached, were closed. `retryable` says whether the same call may succeed
                later.
            ManagerClosed: The manager is closed.
        """
        if identity is None and tenant_id is None and connection_id is None:
            raise ConfigurationError(
                "disconnect() needs identity, tenant_id or connection_id; close() ends all"
            )
        is_code = isinstance(code, int) and (code == 1000 or 3000 <= code <= 4999)
        if not is_code:
            raise ConfigurationError(f"code={code!r}: pass 1000, or 3000 to 4999")
        if not (identity is None or isinstance(identity, Identity)):
            raise ConfigurationError(f"identity={identity!r}: pass an Identity, such as its user's")
        is_time = is_number(revoke_for) and 0 < revoke_for <= MAX_REVOKE_FOR  # type: ignore[operator]
        if not (revoke_for is None or is_time):
            remedy = f"pass seconds above 0, at most {MAX_REVOKE_FOR} (30 days), or None"
            refuse("revoke_for", revoke_for, remedy)
        _check_timeout(timeout)
        user_id = None if identity is None else str(identity.user_id)
        if tenant_id is None and identity is not None:
            tenant_id = identity.tenant_id
        asked = Disconnecting(
            user_id, tenant_id, connection_id, code, reason, revoke_for, float(timeout)
        )
        closed, reached = await self._core.disconnect(asked)
        return Disconnected(closed, *_reached(reached))

    @overload
    def connections(self, *, cluster: Literal[False] = False) -> list[ConnectionInfo]: ...

    @overload
    def connections(
        self, *, cluster: Literal[True], timeout: float = ANSWER_TIMEOUT
    ) -> Awaitable[ClusterConnections]: ...

    def connections(self, *, cluster: bool = False, timeout: float = ANSWER_TIMEOUT) -> Any:
        """List the open connections, in the order in which they were opened.

        Args:
            cluster: Whether those of all nodes are listed. The result is to be awaited then, and is
                a `ClusterConnections`. Else a list of those of this process is returned.
            timeout: With `cluster`, time that the other nodes have to answer (seconds, at most 60).

        Raises:
            ConfigurationError: `timeout` is out of its range.
            ManagerClosed: With `cluster`, the manager is closed.
        """
        if cluster:
            _check_timeout(timeout)
            return self._connections_everywhere(float(timeout))
        return [ConnectionInfo(*listed) for listed in self._core.connections()]

    async def _connections_everywhere(self, timeout: float) -> ClusterConnections:
        pages, reached = await self._core.connections_everywhere(timeout)
        connections: list[ConnectionInfo] = []
        for page in pages:
            connections += (
                ConnectionInfo(id, _identity(user, tenant), peer, protocol, count, since, node)
                for node, id, user, tenant, peer, protocol, count, since in page
            )
            # There may be very many: others have their turn on the event loop.
            await asyncio.sleep(0)
        return ClusterConnections(tuple(connections), *_reached(reached))

    async def nodes(self) -> list[Node]:
        """List the nodes that share the engine: this one, then the others, the oldest first.

        A node is listed from its start until it ends, or was not heard of for 15 seconds. Without
        an engine this process is the only one. A node that has just started waits until it has
        heard of the others: a second, and at most two where the engine cannot be reached.

        Raises:
            ManagerClosed: The manager is closed.
        """
        return [Node(*node) for node in await self._core.nodes()]

    def is_ready(self, *, bus: bool = False) -> bool:
        """Whether clients should be sent to this process, as `/health/ready` says.

        For the health page of an application that serves by an adapter. False unless the manager
        is started; during a drain; and when the engine could not be reached for `unready_after`.
        A source that cannot be read, or a table that is wrong, does not count: no other process
        would serve clients better. `metrics().source_is_live` and the log tell.

        Args:
            bus: Whether the engine has to be reached now.
        """
        return self._core.is_ready(bus)


def _check_timeout(timeout: object) -> None:
    if not (is_number(timeout) and 0 < timeout <= MAX_ANSWER_TIMEOUT):  # type: ignore[operator]
        refuse("timeout", timeout, f"pass seconds above 0, at most {MAX_ANSWER_TIMEOUT:g}")


def _identity(user_id: str | None, tenant_id: str | None) -> Identity | None:
    return Identity(user_id, tenant_id) if user_id else None


def _nodes(nodes: Iterable[Any]) -> tuple[Node, ...]:
    return tuple(Node(*node) for node in nodes)


def _reached(
    reached: tuple[Iterable[Any], Iterable[Any], bool],
) -> tuple[tuple[Node, ...], tuple[Node, ...], bool]:
    answered, unanswered, is_complete = reached
    return _nodes(answered), _nodes(unanswered), is_complete
