"""`authenticate` hooks: which clients they admit, and when."""

from __future__ import annotations

import asyncio

from fraiseql_subs import ConnectionParams, Identity

ADA = Identity("ada")


class Admitting:
    """Accepts every client as one user; `asked` holds the parameters of its calls."""

    def __init__(self, identity: Identity = ADA) -> None:
        self.identity = identity
        self.asked: list[ConnectionParams] = []

    async def __call__(self, params: ConnectionParams) -> Identity | None:
        self.asked.append(params)
        return self.identity


class Waiting(Admitting):
    """Admits clients after the test allows it; `entered` is set when a client waits."""

    def __init__(self, identity: Identity = ADA) -> None:
        super().__init__(identity)
        self.entered, self.let_in = asyncio.Event(), asyncio.Event()

    async def __call__(self, params: ConnectionParams) -> Identity | None:
        self.entered.set()
        await self.let_in.wait()
        return await super().__call__(params)


async def refuse(params: ConnectionParams) -> None:
    """Admit no client."""


async def by_payload(params: ConnectionParams) -> Identity:
    """Accept the user that the payload names: `{"user": "ada"}`, `{"user": "ada@tenant"}`."""
    user, _, tenant = str((params.payload or {})["user"]).partition("@")
    return Identity(user, tenant_id=tenant or None)
