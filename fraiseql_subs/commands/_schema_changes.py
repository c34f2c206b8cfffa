"""Which changes between two schemas break clients.

Not here: how two files differ (`_generated`).
"""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from graphql import GraphQLSchema


@dataclass(frozen=True)
class Changes:
    """What changes for the clients of a schema, a sentence for each change.

    Attributes:
        breaking: Documents may be refused, or results may no longer fit.
        dangerous: Clients may meet what they do not know, such as a new value of an enum.
    """

    breaking: tuple[str, ...]
    dangerous: tuple[str, ...]

    def show(self) -> None:
        """Print them on stdout."""
        for what, changes in (
            ("breaks clients", self.breaking),
            ("may break clients", self.dangerous),
        ):
            for change in changes:
                click.echo(f"{what}: {change}")
        if not self.breaking and not self.dangerous:
            click.echo("no change breaks clients")


def find_changes(before: str, after: str, *, is_json: bool) -> Changes | None:
    """Return what changes for clients; None: graphql-core, which compares, is not installed.

    Args:
        before: The schema that clients know.
        after: The schema that is served.
        is_json: Whether both are results of introspection, and not SDL.

    Raises:
        ValueError: `before` is no schema; the error says why.
    """
    if importlib.util.find_spec("graphql") is None:
        return None
    from graphql import find_breaking_changes, find_dangerous_changes

    old, new = _read(before, is_json=is_json), _read(after, is_json=is_json)
    return Changes(
        tuple(sorted(each.description for each in find_breaking_changes(old, new))),
        tuple(sorted(each.description for each in find_dangerous_changes(old, new))),
    )


def _read(text: str, *, is_json: bool) -> GraphQLSchema:
    from graphql import GraphQLError, build_client_schema, build_schema

    try:
        if not is_json:
            return build_schema(text)
        value = json.loads(text)
        return build_client_schema(value.get("data", value))
    except (GraphQLError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(str(error).partition("\n")[0]) from error
