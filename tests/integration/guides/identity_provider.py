"""An identity provider on this machine: key sets and tokens, in the form of well-known ones."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from support.listening import listening

KEY_BITS = 2048


class SigningKey:
    """A key of the provider, as its key set shows it."""

    def __init__(self, **members: str) -> None:
        self.private = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
        shown = jwt.algorithms.RSAAlgorithm.to_jwk(self.private.public_key(), as_dict=True)
        shown = {name: shown[name] for name in ("kty", "n", "e")}
        digest = hashlib.sha256(shown["n"].encode()).digest()
        self.id = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        self.shown = {"use": "sig", "alg": "RS256", **shown, "kid": self.id, **members}

    def sign(self, **claims: Any) -> str:
        """Return a token with these claims, which ends in a minute."""
        now = int(time.time())
        times = {"iat": now, "exp": now + 60}
        return jwt.encode({**times, **claims}, self.private, "RS256", headers={"kid": self.id})


class IdentityProvider:
    """Serves a key set at one path; `async with IdentityProvider("/keys", keys) as provider`."""

    def __init__(self, path: str, keys: list[SigningKey]) -> None:
        self.path, self.keys = path, keys

    async def __aenter__(self) -> IdentityProvider:
        self._listening = listening(self._answer, None)
        port = await self._listening.__aenter__()
        self.url = f"http://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *raised: Any) -> None:
        await self._listening.__aexit__(*raised)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        is_found = head.split()[1] == self.path
        body = json.dumps({"keys": [key.shown for key in self.keys]}) if is_found else ""
        status = "200 OK" if is_found else "404 Not Found"
        answer = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n"
        answer += f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}"
        writer.write(answer.encode())
        await writer.drain()
