"""The key server of an identity provider, for `JWT.jwks_url`."""

from __future__ import annotations

import asyncio
import json
import ssl

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
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}/keys"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

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
        writer.close()
