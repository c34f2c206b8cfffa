"""The exceptions behind the errors of in-process subscriptions, for their subscribers."""

from __future__ import annotations

from contextvars import ContextVar

Causes = list[BaseException]
"""The exception that ended one subscription; at most one."""

_CAUSES: ContextVar[Causes | None] = ContextVar("fraiseql_subs_causes", default=None)


class CollectCauses:
    """A context in which a subscription is opened; adds the exception that ends it to `causes`."""

    def __init__(self, causes: Causes) -> None:
        self._causes = causes

    def __enter__(self) -> None:
        self._token = _CAUSES.set(self._causes)

    def __exit__(self, *_: object) -> None:
        _CAUSES.reset(self._token)


def add_cause(exception: BaseException) -> None:
    """Record the exception that ends the current subscription, if it is an in-process one."""
    causes = _CAUSES.get()
    if causes is not None and not causes:
        causes.append(exception)
