"""The data of an event as resolvers read it: dicts and lists that cannot be changed.

All resolvers of an event are given the same objects, so a change would reach the others. To read
them costs what it costs to read a dict or a list. Copies are plain: `{**event.data}`,
`copy.deepcopy`.
"""

from __future__ import annotations

from typing import Any, NoReturn

_ADVICE = (
    "the data of an event is shared by all its resolvers and cannot be changed: copy it first, such"
    " as {**event.data}, or copy.deepcopy(event.data) where what is inside it changes"
)


def _refuse(self: object, *_: object, **__: object) -> NoReturn:
    raise TypeError(_ADVICE)


_refused: Any = _refuse
"""As the methods of `dict` and `list` are typed, which these are in the place of."""


class EventObject(dict[str, Any]):
    """A JSON object of an event."""

    __slots__ = ()

    __setitem__ = __delitem__ = __ior__ = _refused
    clear = pop = popitem = setdefault = update = _refused

    def __reduce_ex__(self, _: object) -> tuple[Any, ...]:
        # For `copy` and `pickle`.
        return dict, (dict(self),)


class EventList(list[Any]):
    """A JSON array of an event."""

    __slots__ = ()

    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refused
    append = clear = extend = insert = pop = remove = reverse = sort = _refused

    def __reduce_ex__(self, _: object) -> tuple[Any, ...]:
        return list, (list(self),)


class NotedObject(EventObject):
    """An object whose publisher gave an object of a class instead of a dict.

    It has the fields of that object and nothing else. A resolver that returns it for an interface
    or a union need not say which type it is, and what scalars have made JSON of they are not asked
    for again. A copy is a plain dict, which knows neither.

    Attributes:
        type_name: GraphQL type of the object; None: no interface or union has it.
        serialized: Fields that scalars of the application have made JSON of.
    """

    __slots__ = ("serialized", "type_name")

    type_name: str | None
    serialized: frozenset[str]
