"""Values that resolvers receive and return, and the results of in-process subscriptions."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Any, Final, Generic, NewType, TypeVar, overload

import typing_extensions

from fraiseql_subs._core import check_snapshot
from fraiseql_subs.config import ConnectionParams, Identity
from fraiseql_subs.errors import GraphQLError
from fraiseql_subs.response_head import ResponseHead

ID = NewType("ID", str)
"""A `str` that is written as the GraphQL scalar `ID`: use it in annotations."""


if TYPE_CHECKING:

    class _Anything(Any):  # type: ignore[misc]
        """Has any type, so that a resolver annotated `-> Order` may return `SKIP`."""

else:
    _Anything = object


class Skip(_Anything):
    """Class of `SKIP`; has no other instance.

    A resolver may return `SKIP` with any annotation; `-> Order | Skip` states it explicitly.
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
        # `copy` and `pickle` treat a string as the name of a global, here the only instance.
        return "SKIP"


SKIP: Final[Skip] = Skip()
"""Return it from a resolver to send nothing for this event."""


_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Snapshot(Generic[_Value]):
    """A value of `initial`, and the state of the PostgreSQL database that it was read from.

    With PostgreSQL as the bus exactly the events follow whose transactions that state does not
    contain: none is missing, and none is a second time. Read the rows and
    `SELECT pg_current_snapshot()::text` in one statement, or in one transaction with
    `REPEATABLE READ`, on the server that the bus is connected to, not on a standby.

    Attributes:
        value: The value that is sent.
        at: Text of `pg_current_snapshot()`.

    Raises:
        ValueError: `at` is not such a text.
    """

    value: _Value
    _: KW_ONLY
    at: str

    def __post_init__(self) -> None:
        check_snapshot(self.at)


@dataclass(frozen=True, slots=True)
class ExecutionResult:
    """One result of an in-process subscription.

    Attributes:
        data: Selected fields by response name; None if null propagated to the root.
        errors: GraphQL errors, each with `message` and, where they apply, `path`, `locations` and
            `extensions`; None: no error.
        extensions: JSON object next to the data; None: absent.
    """

    data: dict[str, Any] | None = None
    errors: list[dict[str, Any]] | None = None
    extensions: dict[str, Any] | None = None


_Of = typing_extensions.TypeVar("_Of", default=Any)
_User = TypeVar("_User")


@dataclass(slots=True)
class Context(Generic[_Of]):
    """The `context` parameter of a resolver: the client and operation that it resolves for.

    One object per subscription, the same for each event. `Context[Session]` says to type checkers
    what `value` is; it is not checked when the program runs.

    Attributes:
        identity: The identity that `Security.authenticate` returned; None without authentication.
            It is typed so that type checkers accept `context.identity.user_id` without a check for
            None.
        connection_id: Connection of the client; None for an in-process subscription.
        operation_name: Name of the GraphQL operation; None if it has none.
        params: How the client connected; `in_process` is set for an in-process subscription. None
            if the `Context` was created by hand.
        value: The `context` argument of an in-process `subscribe`, or the value that an adapter of
            another server was passed for the client; otherwise None.
    """

    identity: Identity | Any = None
    connection_id: str | None = None
    operation_name: str | None = None
    params: ConnectionParams | None = None
    value: _Of = None  # type: ignore[assignment]
    _response: ResponseHead | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def response(self) -> ResponseHead:
        """Status, headers and cookies of the HTTP response to a query or mutation."""
        # Created at its first use: most subscriptions never use it.
        if self._response is None:
            self._response = ResponseHead()
        return self._response

    @overload
    def require_identity(self, /) -> Identity: ...
    @overload
    def require_identity(self, cls: type[_User], /) -> _User: ...
    def require_identity(self, cls: type[Any] = Identity, /) -> Any:
        """Return the identity, which is there and of the class `cls`, also to type checkers.

        Args:
            cls: The class of what `Security.authenticate` returns, or of one of its bases.

        Raises:
            GraphQLError: The client has no identity; it receives "authentication is required", with
                the code `UNAUTHENTICATED`.
            TypeError: The identity is of another class, which is a fault of the application.
        """
        identity = self.identity
        if identity is None:
            raise GraphQLError("authentication is required", extensions=_UNAUTHENTICATED)
        if not isinstance(identity, cls):
            raise TypeError(
                f"the identity is of the class {type(identity).__qualname__}, and not"
                f" {cls.__qualname__}: pass the class that Security.authenticate returns"
            )
        return identity


_UNAUTHENTICATED = {"code": "UNAUTHENTICATED"}
