"""Values that resolvers receive and return, and results as an in-process subscriber sees them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NewType

from fraiseql_subs.config import ConnectionParams, Identity
from fraiseql_subs.response_head import ResponseHead

ID = NewType("ID", str)
"""A `str` that is written as the GraphQL scalar `ID`: use it in annotations."""


if TYPE_CHECKING:

    class _Anything(Any):  # type: ignore[misc]
        """Fits any annotation, so that a resolver annotated `-> Order` may return `SKIP`."""

else:
    _Anything = object


class Skip(_Anything):
    """Class of `SKIP`; has no other instance.

    A resolver may return `SKIP` whatever its annotation; `-> Order | Skip` says so.
    """

    __slots__ = ()
    _instance: Skip | None = None

    def __new__(cls) -> Skip:
        """Return the one instance."""
        if cls._instance is None:
            cls._instance = super().__new__(cls)
        return cls._instance

    def __repr__(self) -> str:
        return "SKIP"

    def __reduce__(self) -> str:
        # `copy` and `pickle` read a string as the name of a global: the one instance.
        return "SKIP"


SKIP: Final[Skip] = Skip()
"""Return it from a resolver to send nothing for this event."""


@dataclass(frozen=True, slots=True)
class ExecutionResult:
    """One result of an in-process subscription.

    Attributes:
        data: Selected fields by response name; None when an error reached the root.
        errors: GraphQL errors, each with `message` and, where they apply, `path`, `locations` and
            `extensions`; None: no error.
        extensions: JSON object beside the data; None: absent.
    """

    data: dict[str, Any] | None = None
    errors: list[dict[str, Any]] | None = None
    extensions: dict[str, Any] | None = None


@dataclass(slots=True)
class Context:
    """What a resolver knows about the subscription it answers: its `context` parameter.

    One object per subscription, the same at each event.

    Attributes:
        identity: What `Security.authenticate` returned; None without authentication. It is typed
            so that `context.identity.user_id` passes type checkers where clients have to
            authenticate.
        connection_id: Connection of the client; None for an in-process subscription.
        operation_name: Name of the GraphQL operation; None when it has none.
        params: How the client connected. Of an in-process subscription it says so (`in_process`);
            None where a `Context` is made by hand.
        value: The `context` argument of an in-process `subscribe`, or what the adapter of another
            server was given for the client; None otherwise.
    """

    identity: Identity | Any = None
    connection_id: str | None = None
    operation_name: str | None = None
    params: ConnectionParams | None = None
    value: Any = None
    _response: ResponseHead | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def response(self) -> ResponseHead:
        """Status, headers and cookies of the answer to a query or mutation over HTTP."""
        # Made when it is asked for: most subscriptions never do.
        if self._response is None:
            self._response = ResponseHead()
        return self._response
