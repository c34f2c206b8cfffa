"""The guides about identities: who is let in, and who is not."""

from __future__ import annotations

import httpx
import pytest
from guide import Guide
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
