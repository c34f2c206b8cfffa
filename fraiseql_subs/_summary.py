"""What a document of a client asks for: its size, and what the client needs.

Not here: how it is counted, which the core does.
"""

from __future__ import annotations

from typing import Literal, TypedDict


class NeededPermissions(TypedDict):
    """A requirement of a field.

    Attributes:
        field: The field, such as `Order.total`.
        any_of: Groups of permissions; the client needs all of one group. A group without any asks
            for an identity.
    """

    field: str
    any_of: list[list[str]]


class OperationSummary(TypedDict):
    """What one operation asks for.

    Attributes:
        kind: Its kind.
        name: Its name; None: it has none.
        depth: Nested fields (count), which `Limits.max_depth` bounds.
        fields: Fields, with fragments expanded (count), which `Limits.max_complexity` bounds.
        aliases: Aliased fields (count).
        directives: Directives (count).
        root_fields: Root fields (count).
        permissions: What its client needs; all of them. Empty for queries and mutations, which the
            executor of the schema checks.
        scope: Arguments that `Scope` restricts to values of the client's own identity.
    """

    kind: Literal["query", "mutation", "subscription"]
    name: str | None
    depth: int
    fields: int
    aliases: int
    directives: int
    root_fields: int
    permissions: list[NeededPermissions]
    scope: list[str]


class DocumentSummary(TypedDict):
    """What a document asks for.

    Attributes:
        bytes: Its text as UTF-8 (bytes).
        tokens: Its lexical tokens (count).
        operations: Its operations, in the order of the text.
    """

    bytes: int
    tokens: int
    operations: list[OperationSummary]
