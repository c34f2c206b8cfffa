"""Cases, and the parts of a response that are compared. Not here: running them (`answers`)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Answer: TypeAlias = dict[str, Any]
"""A response without the parts that are not compared: texts and extensions of errors."""


@dataclass(frozen=True, eq=False)
class Case:
    """One request, and the value of its subscription field.

    Attributes:
        name: Its subject; unique in its theme.
        document: GraphQL document.
        value: The value of every subscription field: JSON, and `float` values that JSON lacks. The
            field `echo` has its arguments as value instead.
        sdl: The schema.
        variables: Variables of the request; None: none.
        operation: Name of the operation to run; None: the only one.
        core: What graphql-core answers where it differs from graphql-js; None: it does not.
        ours: What we answer where we differ; None: we do not.
        why: The reason of a difference.
    """

    name: str
    document: str
    value: Any = None
    sdl: str = ""
    variables: dict[str, Any] | None = None
    operation: str | None = None
    core: Answer | None = None
    ours: Answer | None = None
    why: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        assert bool(self.why) == (self.core is not None or self.ours is not None), self.name

    def __str__(self) -> str:
        return self.name.replace(" ", "-")


def read(response: str | bytes) -> Answer:
    """Read a response for comparison: objects as lists of members, errors by place.

    Errors of a request have no order of their own, as they are found rule by rule; those of
    execution come in the order in which they are met.
    """
    members = json.loads(response, object_pairs_hook=lambda pairs: pairs)
    answer: Answer = {}
    for name, value in members:
        if name == "data":
            answer["data"] = value
        elif name == "errors":
            answer["errors"] = [_place(dict(error)) for error in value]
    if "data" not in answer:
        answer.get("errors", []).sort(key=json.dumps)
    return answer


def _place(error: dict[str, Any]) -> dict[str, Any]:
    assert isinstance(error["message"], str) and error["message"]
    places = [tuple(value for _, value in place) for place in error.get("locations", [])]
    return {"path": error.get("path", []), "locations": places}


def refused(*places: list[tuple[int, int]]) -> Answer:
    """The answer to a request that is refused, with the places of each error."""
    errors = [{"path": [], "locations": list(locations)} for locations in places]
    return {"errors": sorted(errors, key=json.dumps)}
