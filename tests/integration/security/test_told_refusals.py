"""Texts of refusals in the log and for the client: the reason, and what to do."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import pytest

from fraiseql_subs import JWT, Security, SubscriptionManager, ValidationError, passthrough

SECRET = "an-example-secret-of-thirty-two-bytes"


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(**claims: Any) -> str:
    parts = [{"alg": "HS256", "typ": "JWT"}, {"sub": "ada", **claims}]
    signed = ".".join(encode(json.dumps(part).encode()) for part in parts)
    signature = hmac.new(SECRET.encode(), signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{encode(signature)}"


def make_manager() -> SubscriptionManager:
    jwt = JWT(key=SECRET, algorithms=["HS256"], cookie="session")
    security = Security(jwt=jwt, origins=["https://app.example.com"])
    return SubscriptionManager([passthrough("feed", Any, channel="feed")], security=security)


REASONS = {
    "no token": (
        {},
        "no token, looked for in `authorization`, `Authorization`, `token` of the payload of"
        " connection_init; the header `authorization`; the cookie `session`",
    ),
    "a token without an end": (
        {"token": token()},
        "its claim `exp` is missing, or is not a number of seconds",
    ),
    "a token that has ended": ({"token": token(exp=time.time() - 60)}, "expired token"),
}


@pytest.mark.parametrize(("payload", "reason"), REASONS.values(), ids=REASONS)
async def test_the_log_says_why_a_token_is_refused(payload, reason, serve, connect, caplog):
    server = await serve(make_manager())
    client = await connect(server.url, init=False)
    await client.send({"type": "connection_init", "payload": payload})
    await client.expect_close(4403, "Forbidden")
    told = [str(vars(record).get("reason", record.getMessage())) for record in caplog.records]
    assert any(reason in text for text in told), told


@pytest.mark.parametrize("resume", [{"afer": "a-1"}, {"after": "a-1", "id": 1}])
async def test_an_unknown_member_of_resume_is_refused(resume):
    async with SubscriptionManager([passthrough("feed", Any, channel="feed")]) as manager:
        results = manager.subscribe("subscription { feed }", extensions={"resume": resume})
        with pytest.raises(ValidationError, match=r"`extensions\.resume` has an unknown member"):
            await anext(results)
