"""The exceptions behind the errors of in-process subscriptions, for whoever reads these."""

from __future__ import annotations

from contextvars import ContextVar

Causes = list[BaseException]
"""What ended one subscription; at most one."""

_CAUSES: ContextVar[Causes | None] = ContextVar("fraiseql_subs_causes", default=None)


class CollectCauses:
    """Opens a subscription within it: what ends the subscription is added to `causes`."""

    def __init__(self, causes: Causes) -> None:
        self._causes = causes

    def __enter__(self) -> None:
        self._token = _CAUSES.set(self._causes)

    def __exit__(self, *_: object) -> None:
        _CAUSES.reset(self._token)


def add_cause(exception: BaseException) -> None:
    """Note what ends the subscription in whose name this runs, if somebody reads it in process."""
    causes = _CAUSES.get()
    if causes is not None and not causes:
        causes.append(exception)
