"""The data of an event in resolvers: read-only dicts and lists.

All resolvers of an event receive the same objects, so a change would be visible to the others.
Reading them is as fast as reading a dict or a list. Copies are plain: `{**event.data}`,
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
"""The same function, typed so that it can override methods of `dict` and `list`."""


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
    """An object that was published as an instance of a class instead of a dict.

    It has the fields of that instance. A resolver may return it for an interface or a union without
    `__typename`, and fields that a scalar has serialized are not serialized again. A copy is a
    plain dict, which has neither.

    Attributes:
        type_name: GraphQL type of the object; None: it is in no interface and no union.
        serialized: Fields that scalars of the application have serialized to JSON.
    """

    __slots__ = ("serialized", "type_name")

    type_name: str | None
    serialized: frozenset[str]
