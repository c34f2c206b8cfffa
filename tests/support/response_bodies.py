"""Parsers of streamed response bodies, as strict as their protocols."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from typing import Any


class Body(ABC):
    """The text of a body, as it comes."""

    def __init__(self, chunks: AsyncIterator[str]) -> None:
        self._chunks = chunks
        self._text = ""

    async def read(self, length: int) -> str:
        """Return so many characters."""
        while len(self._text) < length:
            await self._more()
        text, self._text = self._text[:length], self._text[length:]
        return text

    async def read_until(self, end: str) -> str:
        """Return the text before `end`, and skip `end`."""
        while end not in self._text:
            await self._more()
        text, _, self._text = self._text.partition(end)
        return text

    async def _more(self) -> None:
        try:
            self._text += await anext(self._chunks)
        except StopAsyncIteration:
            raise AssertionError(f"the body has ended, after {self._text!r}") from None

    async def _nothing_more(self) -> None:
        rest = self._text + "".join([chunk async for chunk in self._chunks])
        assert rest == "", f"after the end came {rest!r}"

    @abstractmethod
    async def heartbeat(self) -> None:
        """Read a heartbeat."""

    async def cut(self) -> None:
        """Read the end of a body that its protocol has not completed."""
        await self._nothing_more()

    @abstractmethod
    async def end(self) -> None:
        """Read the end."""


class Events(Body):
    """An event stream; WHATWG HTML, "Server-sent events"."""

    async def next_event(self) -> dict[str, Any]:
        """Return the fields of the next event; its data is JSON, or empty."""
        fields = await self.next_block()
        fields["data"] = json.loads(fields["data"]) if fields["data"] else ""
        return fields

    async def next_block(self) -> dict[str, Any]:
        """Return the fields of the next block; without data, a client ignores it."""
        while (block := await self.read_until("\n\n")) == ":":
            pass
        fields: dict[str, Any] = {}
        for line in block.split("\n"):
            name, colon, value = line.partition(":")
            assert colon and name not in fields, f"{block!r} is no event"
            fields[name] = value.removeprefix(" ")
        return fields

    async def heartbeat(self) -> None:
        assert await self.read_until("\n\n") == ":"

    async def end(self) -> None:
        await self._nothing_more()


class Parts(Body):
    """A multipart body; RFC 2046, section 5.1."""

    HEAD = "\r\ncontent-type: application/json\r\n\r\n"
    DELIMITER = "\r\n--graphql"

    def __init__(self, chunks: AsyncIterator[str]) -> None:
        super().__init__(chunks)
        self._has_begun = False

    async def next_part(self) -> Any:
        """Return the JSON of the next part that is not a heartbeat."""
        while (part := await self._any_part()) == {}:
            pass
        return part

    async def _any_part(self) -> Any:
        if not self._has_begun:
            self._has_begun = True
            assert await self.read_until(self.DELIMITER) == ""
        part = await self.read_until(self.DELIMITER)
        assert part.startswith(self.HEAD), f"{part!r} is no part"
        return json.loads(part.removeprefix(self.HEAD))

    async def heartbeat(self) -> None:
        assert await self._any_part() == {}

    async def end(self) -> None:
        assert await self.read(4) == "--\r\n"
        await self._nothing_more()
