"""The program of the page about migrating from Hasura, on a private PostgreSQL."""

from __future__ import annotations

import asyncio
import importlib.util
import re
from types import ModuleType
from typing import Any

import asyncpg
from support.paths import ROOT
from support.postgres_server import PostgresServer

PAGE = (ROOT / "docs/how-to/migrate/hasura.md").read_text()
LIST = "subscription { orders(customerId: 7) { id status } }"
STREAM = "subscription { ordersStream(customerId: 7) { id status } }"


def program(postgres: PostgresServer, folder: Any) -> ModuleType:
    (code,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    path = folder / "hasura_app.py"
    path.write_text(code.replace("postgresql://postgres@127.0.0.1/shop", postgres.url))
    spec = importlib.util.spec_from_file_location("hasura_app", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def test_a_list_and_a_stream_follow_the_table(tmp_path):
    (sql,) = re.findall(r"^```sql\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    async with PostgresServer() as postgres:
        connection = await asyncpg.connect(postgres.url)
        try:
            await connection.execute(sql)
            await connection.execute("INSERT INTO orders (customer_id, status) VALUES (7, 'new')")
            await asyncio.to_thread(postgres.install, "public.orders")
            manager = program(postgres, tmp_path).manager
            async with manager, manager.subscribe(LIST) as lists, manager.subscribe(STREAM) as rows:
                assert (await anext(lists)).data == {"orders": [{"id": 1, "status": "new"}]}
                await connection.execute("UPDATE orders SET status = 'paid'")
                assert (await anext(lists)).data == {"orders": [{"id": 1, "status": "paid"}]}
                assert (await anext(rows)).data == {"ordersStream": {"id": 1, "status": "paid"}}
                await connection.execute("DELETE FROM orders")
                assert (await anext(lists)).data == {"orders": []}
        finally:
            await connection.close()
