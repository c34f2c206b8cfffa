"""Builds the core of a manager from what it was given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from . import decorators
from ._bus import MEMORY
from ._core import Core
from ._texts import naming_lone_surrogates
from .definition import Definition
from .delegate import Delegate
from .errors import ConfigurationError, SchemaError
from .given_schema import add_subscriptions
from .schema import SchemaSource
from .schema.enums import EnumTable
from .schema.markers import Scalar
from .tracing import starting


@dataclass(frozen=True)
class Declarations:
    """What a manager was given to make its schema of.

    Attributes:
        schema: The given schema; None: it is made of the definitions.
        definitions: The declared subscriptions.
        scalars: Scalars of a schema in SDL.
        enums: Enums of a schema in SDL.
    """

    schema: str | Delegate | None
    definitions: list[Definition]
    scalars: list[Scalar]
    enums: list[EnumTable]

    def resolve(self) -> tuple[SchemaSource, list[Definition]]:
        """Return the schema, and the definitions that the core reads.

        Raises:
            SchemaError: The declarations do not fit the schema.
        """
        if isinstance(self.schema, Delegate):
            return add_subscriptions(self.schema, self.definitions, self.scalars, self.enums)
        return decorators.resolve(self.definitions, self.schema, self.scalars, self.enums)


def build(declarations: Declarations, options: dict[str, Any]) -> Core:
    """Build the core.

    Args:
        declarations: What its schema is made of.
        options: The other parameters of the core.
    """
    decorators.check_bypassed(declarations.definitions)
    if declarations.schema is None and not declarations.definitions:
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
    source, definitions = declarations.resolve()
    options = {**options, "tracing": starting(options["tracing"], definitions)}
    with naming_lone_surrogates(ConfigurationError):
        return Core(schema=source, definitions=definitions, **options)
