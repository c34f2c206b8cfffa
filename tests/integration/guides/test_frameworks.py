"""The guides about frameworks: their programs serve and publish."""

from __future__ import annotations

from guide import Guide


async def test_an_order_reaches_its_customer_under_fastapi(tmp_path):
    guide = Guide("frameworks/fastapi.md", tmp_path)
    assert "1 passed" in await guide.run("python -m pytest")
    async with guide.running("uvicorn", "8000"), guide.reading("python subscribe.py") as client:
        connected, guide.environment["TOKEN"] = (await client.line()).split()
        assert connected == "connected"
        assert await client.line_after("curl") == "{'item': 'tea', 'status': 'new'}"
