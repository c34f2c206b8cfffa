"""Fields that pydantic excludes from a model's dump."""

from __future__ import annotations

from typing import Annotated, Any

import pydantic
import pydantic.dataclasses
import pytest
from pydantic import BaseModel, Field, PrivateAttr, SecretStr, field_serializer, model_serializer

from fraiseql_subs import Event, PublishError, SchemaError, SubscriptionManager, subscription


class Account(BaseModel):
    name: str
    password: str = Field(exclude=True)
    _cache: str = PrivateAttr(default="hunter2")


class Annotation(BaseModel):
    name: str
    password: Annotated[str, Field(exclude=True)]


class Child(Account):
    age: int = 1


class Untyped(BaseModel):
    name: str
    # Not a GraphQL type: a field that is never sent does not need one.
    password: SecretStr = Field(exclude=True)


@pydantic.dataclasses.dataclass
class Record:
    name: str
    password: str = Field(exclude=True)


class Outer(BaseModel):
    account: Account


KINDS = [Account, Annotation, Child, Untyped, Record]


def make(kind: Any) -> Any:
    return kind(name="Ada", password="hunter2")


def serving(kind: Any, sent: list[Any]) -> SubscriptionManager:
    def account(event: Event) -> Any:
        sent.append(event.data)
        return make(kind)

    account.__annotations__["return"] = kind
    return SubscriptionManager([subscription(channel="accounts")(account)])


@pytest.mark.parametrize("kind", KINDS)
async def test_an_excluded_field_is_neither_in_the_schema_nor_published(kind):
    sent: list[Any] = []
    manager = serving(kind, sent)
    assert "password" not in manager.sdl()
    assert "cache" not in manager.sdl()
    async with manager, manager.subscribe("subscription { account { name } }") as stream:
        await manager.publish("accounts", make(kind))
        assert (await anext(stream)).data == {"account": {"name": "Ada"}}
    assert "hunter2" not in str(sent)
    assert sent[0]["name"] == "Ada"


async def test_a_model_inside_others_is_published_without_it():
    sent: list[Any] = []
    manager = serving(Account, sent)
    async with manager, manager.subscribe("subscription { account { name } }") as stream:
        await manager.publish("accounts", {"of": [Outer(account=make(Account))]})
        await anext(stream)
    assert sent == [{"of": [{"account": {"name": "Ada"}}]}]


def test_an_excluded_field_can_be_given_as_an_argument():
    @subscription(channel="c")
    def value(event: Event, *, account: Account) -> str:
        return account.password

    assert (
        "input Account {\n  name: String!\n  password: String!\n}"
        in SubscriptionManager([value]).sdl()
    )


def test_a_model_of_which_nothing_is_left_is_refused():
    class Nothing(BaseModel):
        password: str = Field(exclude=True)

    def value(event: Event) -> Any: ...

    value.__annotations__["return"] = Nothing
    with pytest.raises(SchemaError, match="has no fields"):
        SubscriptionManager([subscription(channel="c")(value)])


async def test_a_secret_is_refused_when_it_is_published():
    class Login(BaseModel):
        token: SecretStr

    async with serving(Account, []) as manager:
        with pytest.raises(PublishError, match=r"data\.token: an object of type `SecretStr`") as e:
            await manager.publish("accounts", Login(token="hunter2"))
    assert "hunter2" not in str(e.value)


async def test_serializers_of_a_model_say_what_is_published():
    class Card(BaseModel):
        name: str
        number: str

        @field_serializer("number")
        def mask(self, number: str) -> str:
            return f"*{number[-4:]}"

    class Whole(BaseModel):
        name: str
        number: str

        @model_serializer
        def write(self) -> dict[str, Any]:
            return {"name": self.name}

    class Text(BaseModel):
        name: str

        @model_serializer
        def write(self) -> str:
            return self.name

    sent: list[Any] = []
    manager = serving(Account, sent)
    async with manager, manager.subscribe("subscription { account { name } }") as stream:
        card, whole = Card(name="a", number="12345678"), Whole(name="a", number="12345678")
        for data in (card, whole, {"text": Text(name="a")}):
            await manager.publish("accounts", data)
            await anext(stream)
    assert sent == [{"name": "a", "number": "*5678"}, {"name": "a"}, {"text": "a"}]


async def test_aliases_name_fields_in_the_schema_and_not_in_published_data():
    class Aliased(BaseModel):
        first: str = Field(serialization_alias="firstName")

    sent: list[Any] = []

    def aliased(event: Event) -> Any:
        sent.append(event.data)
        return event.data

    aliased.__annotations__["return"] = Aliased
    manager = SubscriptionManager([subscription(channel="c")(aliased)])
    async with manager, manager.subscribe("subscription { aliased { firstName } }") as stream:
        await manager.publish("c", Aliased(first="Ada"))
        assert (await anext(stream)).data == {"aliased": {"firstName": "Ada"}}
    assert sent == [{"first": "Ada"}]
