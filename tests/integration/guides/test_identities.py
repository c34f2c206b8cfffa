"""The guides about identities: who is let in, and who is not."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from guide import Guide
from identity_provider import IdentityProvider, SigningKey
from support import PATIENCE
from support.protocol_client import ProtocolClient
from websockets.exceptions import InvalidStatus

SHOP = "https://shop.example.com"


async def log_in(http: httpx.AsyncClient, user: str) -> dict[str, str]:
    """Return the headers of a browser that has logged in."""
    answer = await http.post("/login", json={"user": user})
    assert answer.status_code == 204
    cookie = answer.headers["set-cookie"]
    assert {"HttpOnly", "Secure", "SameSite=lax"} <= set(cookie.split("; "))
    return {"cookie": cookie.split(";")[0], "origin": SHOP}


async def test_a_cookie_lets_pages_of_the_site_in_until_its_user_logs_out(tmp_path):
    guide = Guide("identity/cookies.md", tmp_path)
    port = guide.ports["8000"]
    url = f"ws://127.0.0.1:{port}/graphql/"
    async with (
        guide.running("uvicorn", "8000"),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE) as http,
    ):
        browser = await log_in(http, "ada")
        page = await ProtocolClient.connect(url, additional_headers=browser)
        await page.init()

        foreign = {**browser, "origin": "https://blog.example.com"}
        with pytest.raises(InvalidStatus, match="403"):
            await ProtocolClient.connect(url, additional_headers=foreign)
        query = {"query": "{ __typename }"}
        assert (await http.post("/graphql/", json=query, headers=foreign)).status_code == 403
        allowed = await http.post("/graphql/", json=query, headers=browser)
        assert allowed.json() == {"data": {"__typename": "Query"}}
        assert allowed.headers["access-control-allow-origin"] == SHOP
        assert allowed.headers["access-control-allow-credentials"] == "true"
        form = {**browser, "content-type": "application/x-www-form-urlencoded"}
        assert (await http.post("/graphql/", content="a=b", headers=form)).status_code == 415

        assert (await http.post("/logout", headers=browser)).status_code == 204
        await page.expect_close(4403)
        again = await ProtocolClient.connect(url, additional_headers=browser)
        await again.send({"type": "connection_init"})
        await again.expect_close(4403)


async def connected(guide: Guide, token: str) -> ProtocolClient:
    """Connect with a token, which the server may accept or refuse."""
    client = await ProtocolClient.connect(f"ws://127.0.0.1:{guide.ports['8000']}/graphql")
    payload = {"authorization": f"Bearer {token}"}
    await client.send({"type": "connection_init", "payload": payload})
    return client


async def check_tokens(guide: Guide, key: SigningKey, claims: dict[str, Any], **less: Any) -> None:
    """A client with the claims gets the events of its tenant.

    Args:
        guide: A guide about an identity provider.
        key: Signs tokens.
        claims: Claims of a user of the tenant `acme`.
        less: Claims of a user without permissions.
    """
    guide.environment["FRAISEQL_SUBS_PUBLISH_KEY"] = "a-key-of-the-publishers"
    async with guide.running("fraiseql-subs", "8000"):
        client = await connected(guide, key.sign(**claims))
        assert (await client.receive())["type"] == "connection_ack"
        await client.subscribe("subscription { orders }")
        events = [{"tenant_id": tenant, "id": 7} for tenant in ("other", "acme")]
        async with httpx.AsyncClient(timeout=PATIENCE) as http:
            answer = await http.post(
                f"http://127.0.0.1:{guide.ports['8000']}/publish",
                json=[{"channel": "orders", "data": event} for event in events],
                headers={"authorization": "Bearer a-key-of-the-publishers"},
            )
        assert answer.status_code == 200, answer.text
        assert await client.receive_data() == {"orders": events[1]}

        poor = await connected(guide, key.sign(**{**claims, **less}))
        assert (await poor.receive())["type"] == "connection_ack"
        await poor.subscribe("subscription { orders }")
        (error,) = await poor.receive_errors()
        assert error["extensions"]["code"] == "FORBIDDEN"

        for wrong in ({"aud": "another"}, {"iss": f"{claims['iss']}/"}, {"exp": 1}):
            await (await connected(guide, key.sign(**{**claims, **wrong}))).expect_close(4403)
        unknown = SigningKey()
        await (await connected(guide, unknown.sign(**claims))).expect_close(4403)


async def test_tokens_of_auth0_are_accepted(tmp_path):
    current, following = SigningKey(x5t="AAAA"), SigningKey(x5t="BBBB")
    async with IdentityProvider("/.well-known/jwks.json", [current, following]) as auth0:
        guide = Guide("identity/auth0.md", tmp_path)
        guide.environment["ISSUER"] = f"{auth0.url}/"
        claims = {
            "iss": f"{auth0.url}/",
            "sub": "auth0|6553da60a54af58e29493993",
            "aud": ["https://api.shop.example.com", f"{auth0.url}/userinfo"],
            "azp": "my_client_id",
            "scope": "openid profile",
            "org_id": "acme",
            "permissions": ["read:orders"],
            "https://shop.example.com/roles": ["buyer"],
        }
        await check_tokens(guide, following, claims, permissions=[])


async def test_tokens_of_keycloak_are_accepted(tmp_path):
    sealing, signing = SigningKey(use="enc", alg="RSA-OAEP"), SigningKey()
    path = "/realms/shop/protocol/openid-connect/certs"
    async with IdentityProvider(path, [sealing, signing]) as keycloak:
        realm = f"{keycloak.url}/realms/shop"
        guide = Guide("identity/keycloak.md", tmp_path)
        guide.environment["REALM"] = realm
        claims = {
            "iss": realm,
            "aud": ["shop-api", "account"],
            "sub": "f3c1a2de-8a52-4f7a-9d3c-2b8f6f0f7a11",
            "typ": "Bearer",
            "azp": "shop-web",
            "realm_access": {"roles": ["offline_access", "buyer"]},
            "resource_access": {
                "shop-api": {"roles": ["orders:read"]},
                "account": {"roles": ["view-profile"]},
            },
            "scope": "openid email profile",
            "preferred_username": "ada",
            "tenant_id": "acme",
        }
        await check_tokens(guide, signing, claims, resource_access={})
