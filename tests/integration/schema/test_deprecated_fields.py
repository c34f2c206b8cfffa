"""Deprecated fields: the schema marks them, and clients cause no warning."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property

import pydantic
import pytest
from typing_extensions import deprecated

from fraiseql_subs import SubscriptionManager, computed_field, passthrough, subscription


class Model(pydantic.BaseModel):
    plain: int = 0
    old: int = pydantic.Field(default=1, deprecated="use plain")
    flagged: int = pydantic.Field(default=2, deprecated=True)

    @pydantic.computed_field
    @property
    @deprecated("use plain")
    def computed(self) -> int:
        return 3

    @computed_field
    @deprecated("use plain")
    def ours(self) -> int:
        return 4


@dataclass
class Data:
    plain: int = 0

    @computed_field
    @deprecated("use plain")
    def ours(self) -> int:
        return 4

    @computed_field
    @cached_property
    def cached(self) -> int:
        return 5


CASES = [
    (Model, {"plain": 0, "old": 1, "flagged": 2, "computed": 3, "ours": 4}),
    (Data, {"plain": 0, "ours": 4, "cached": 5}),
]


@pytest.mark.parametrize(("cls", "expected"), CASES)
async def test_they_are_returned_and_published_without_a_warning(cls, expected):
    @subscription(channel="c")
    def returned(event):
        return cls()

    returned.__annotations__["return"] = cls
    published = passthrough("published", cls, channel="c")
    fields = " ".join(expected)
    manager = SubscriptionManager([returned, published])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        async with (
            manager,
            manager.subscribe(f"subscription {{ returned {{ {fields} }} }}") as first,
            manager.subscribe(f"subscription {{ published {{ {fields} }} }}") as second,
        ):
            await manager.publish("c", cls())
            assert (await anext(first)).data == {"returned": expected}
            assert (await anext(second)).data == {"published": expected}


def test_the_schema_tells_the_reason():
    sdl = SubscriptionManager([passthrough("a", Model, channel="c")]).sdl()
    assert 'old: Int! @deprecated(reason: "use plain")' in sdl
    assert 'flagged: Int! @deprecated(reason: "No longer supported")' in sdl
    assert 'ours: Int! @deprecated(reason: "use plain")' in sdl
    assert 'computed: Int! @deprecated(reason: "use plain")' in sdl
    assert "plain: Int!\n" in sdl


def test_other_readers_are_warned():
    with pytest.warns(DeprecationWarning, match="use plain"):
        assert Data().ours == 4
