"""The key server of an identity provider, for `JWT.jwks_url`."""

from __future__ import annotations

import asyncio
import json
import ssl
from typing import Any

from support.listening import listening
from support.tokens import encode


class KeyServer:
    """Serves a key set on this machine, and counts the requests.

    Args:
        tls: For `https://`.

    Attributes:
        keys: The secret of each key.
        status: The status of the answers.
        header: A header of the answers.
        padding: White space in the answers (characters).
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.keys: dict[str, str] = {}
        self.asked = 0
        self.status = "200 OK"
        self.header = "Connection: close"
        self.padding = 0
        self._tls = tls

    async def __aenter__(self) -> KeyServer:
        self._listening = listening(self._answer, self._tls)
        self.port = await self._listening.__aenter__()
        self.url = f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}/keys"
        return self

    async def __aexit__(self, *raised: Any) -> None:
        await self._listening.__aexit__(*raised)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.asked += 1
        keys = [
            {"kty": "oct", "kid": kid, "k": encode(secret.encode())}
            for kid, secret in self.keys.items()
        ]
        body = json.dumps({"keys": keys}) + " " * self.padding
        head = f"HTTP/1.1 {self.status}\r\nContent-Length: {len(body)}\r\n{self.header}\r\n\r\n"
        writer.write((head + body).encode())
        await writer.drain()
