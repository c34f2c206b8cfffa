"""Builds the core of a manager from what it was given."""

from __future__ import annotations

from typing import Any

from . import decorators
from ._bus import MEMORY
from ._core import Core
from ._texts import naming_lone_surrogates
from .definition import Definition
from .delegate import Delegate
from .errors import ConfigurationError, SchemaError
from .given_schema import add_subscriptions
from .schema.enums import EnumTable
from .schema.markers import Scalar


def build(
    schema: str | Delegate | None,
    definitions: list[Definition],
    scalars: list[Scalar],
    enums: list[EnumTable],
    options: dict[str, Any],
) -> Core:
    """Build the core.

    Args:
        schema: The given schema; None: it is made of the declarations.
        definitions: The declared subscriptions.
        scalars: Scalars of a schema in SDL.
        enums: Enums of a schema in SDL.
        options: The other parameters of the core.
    """
    decorators.check_bypassed(definitions)
    if schema is None and not definitions:
        problem = (
            "the manager has no subscriptions: pass some, such as"
            " SubscriptionManager([order_updated]), or a `schema=`"
        )
        if options["bus"].bus != MEMORY:
            problem += (
                ". A program that only publishes needs no manager: use Publisher(bus), or"
                " SyncPublisher(bus) without asyncio"
            )
        raise SchemaError(problem)
    if isinstance(schema, Delegate):
        source, definitions = add_subscriptions(schema, definitions, scalars, enums)
    else:
        source, definitions = decorators.resolve(definitions, schema, scalars, enums)
    with naming_lone_surrogates(ConfigurationError):
        return Core(schema=source, definitions=definitions, **options)
