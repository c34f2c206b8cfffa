"""Helpers for tests of masked errors: a secret that no client may receive."""

from __future__ import annotations

import logging
from typing import Any

from fraiseql_subs import SubscriptionManager, ValidationError

SECRET = "postgres://admin:hunter2@db"


class SecretError(Exception):
    """Its name must not reach the client either."""


async def told(manager: SubscriptionManager, document: str, *events: Any) -> list[dict[str, Any]]:
    """All errors that a client is sent."""
    errors: list[dict[str, Any]] = []
    try:
        async with manager.subscribe(document) as stream:
            for event in events:
                await manager.publish("events", event)
            async for result in stream:
                errors.extend(result.errors or ())
                if events:
                    break
    except ValidationError as error:
        errors.extend(error.errors)
    return errors


def ours(caplog) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name == "fraiseql_subs"]
