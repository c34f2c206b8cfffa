"""Exceptions of the package.

Every error that the package raises derives from `FraiseQLSubsError`. A message says what was wrong,
where, and what to do. `GraphQLError` is different: a resolver raises it to send its message to the
client.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal


class FraiseQLSubsError(Exception):
    """Base of the errors that this package raises."""


class SchemaError(FraiseQLSubsError):
    """A subscription, a type hint or a schema cannot be served; raised before the first client."""


class ConfigurationError(FraiseQLSubsError):
    """A setting has an invalid value, or two settings contradict each other."""


class PublishError(FraiseQLSubsError):
    """An event was not published: it cannot be, or the engine has not taken it in time.

    Attributes:
        message: What went wrong, and what to do.
        retryable: Whether publishing the event again may succeed, such as after a lost connection.
            With the `event_id` of the first attempt it is one event, however often it is tried.
        outcome: What is known of the event: `"not_sent"`, it was not published; or `"unknown"`,
            it was sent, and there was no answer: it may have been published.
    """

    def __init__(
        self,
        message: str,
        retryable: bool = False,
        outcome: Literal["not_sent", "unknown"] = "not_sent",
    ) -> None:
        super().__init__(message, retryable, outcome)
        self.message = message
        self.retryable = retryable
        self.outcome = outcome

    def __str__(self) -> str:
        return self.message


class ManagerClosed(FraiseQLSubsError):
    """The manager was used before it was started or after it was closed."""


class BusError(FraiseQLSubsError):
    """The event bus could not accept the events.

    Attributes:
        retryable: Whether the same call may succeed later, such as after a lost connection.
    """

    def __init__(self, message: str, retryable: bool = False) -> None:
        super().__init__(message, retryable)
        self.message = message
        self.retryable = retryable

    def __str__(self) -> str:
        return self.message


class ValidationError(FraiseQLSubsError):
    """A GraphQL document or its variables were refused.

    Attributes:
        errors: The GraphQL errors that a client would receive: each has `message`, and `locations`,
            `path` and `extensions` if they apply.
    """

    def __init__(self, message: str, errors: list[dict[str, Any]] | None = None) -> None:
        self.message = message
        self.errors: list[dict[str, Any]] = [{"message": message}] if errors is None else errors
        super().__init__(message, self.errors)

    def __str__(self) -> str:
        return self.message


class GraphQLError(Exception):
    """An error for the client: raise it in a resolver to send `message` and `extensions`.

    Any other exception reaches the client as "Internal server error".

    Attributes:
        message: Text of the error that the client receives.
        extensions: JSON object next to the message, such as `{"code": "NOT_FOUND"}`; None: absent.
    """

    def __init__(self, message: str, *, extensions: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.extensions = None if extensions is None else dict(extensions)
