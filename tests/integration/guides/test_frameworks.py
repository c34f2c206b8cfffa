"""The guides about frameworks: their programs serve and publish."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from guide import Guide
from support import PATIENCE
from support.postgres_server import PostgresServer
from support.protocol_client import ProtocolClient
from support.redis_server import RedisServer
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus


async def test_an_order_reaches_its_customer_under_fastapi(tmp_path):
    guide = Guide("frameworks/fastapi.md", tmp_path)
    assert "1 passed" in await guide.run("python -m pytest")
    async with guide.running("uvicorn", "8000"), guide.reading("python subscribe.py") as client:
        connected, guide.environment["TOKEN"] = (await client.line()).split()
        assert connected == "connected"
        assert await client.line_after("curl") == "{'item': 'tea', 'status': 'new'}"


async def prepare(guide: Guide, settings: str = "shop.settings") -> None:
    """Make the tables and the user of a Django project."""
    guide.environment["DJANGO_SETTINGS_MODULE"] = settings
    for command in ("django-admin makemigrations", "django-admin migrate", "DJANGO_SUPERUSER"):
        await guide.run(command)


async def check_logging_out(port: int) -> None:
    """Log in to Django, connect, and log out."""
    url = f"http://127.0.0.1:{port}"
    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE) as http:
        await http.get("/admin/login/")
        form = {"username": "ada", "password": "secret"}
        form["csrfmiddlewaretoken"] = http.cookies["csrftoken"]
        assert (await http.post("/admin/login/", data=form)).status_code == 302
        cookie = {"cookie": f"sessionid={http.cookies['sessionid']}"}
        url = f"ws://127.0.0.1:{port}/graphql"
        socket = await ProtocolClient.connect(url, additional_headers=cookie)
        await socket.init()
        form = {"csrfmiddlewaretoken": http.cookies["csrftoken"]}
        assert (await http.post("/admin/logout/", data=form)).status_code == 200
        await socket.expect_close(4403)


async def test_a_saved_order_reaches_its_customer_under_django(tmp_path):
    guide = Guide("frameworks/django.md", tmp_path)
    await prepare(guide)
    async with guide.running("uvicorn", "8000"), guide.reading("python client.py") as client:
        assert await client.line() == "{'item': 'tea', 'paid': False}"
        with pytest.raises(InvalidStatus):
            await ProtocolClient.connect(f"ws://127.0.0.1:{guide.ports['8000']}/elsewhere")
        client_without_session = await ProtocolClient.connect(
            f"ws://127.0.0.1:{guide.ports['8000']}/graphql"
        )
        await client_without_session.send({"type": "connection_init"})
        await client_without_session.expect_close(4403)
        await check_logging_out(guide.ports["8000"])


async def test_channels_of_django_run_beside_subscriptions(tmp_path):
    guide = Guide("frameworks/django.md", tmp_path)
    guide.use("with Channels")
    await prepare(guide)
    async with guide.running("uvicorn", "8000"), guide.reading("python client.py") as client:
        assert await client.line() == "{'item': 'tea', 'paid': False}"
        async with connect(f"ws://127.0.0.1:{guide.ports['8000']}/echo") as socket:
            await socket.send("hello")
            assert await asyncio.wait_for(socket.recv(), PATIENCE) == "hello"


async def test_a_wsgi_server_of_django_publishes_to_a_process_beside_it(tmp_path):
    async with RedisServer(tmp_path) as redis:
        guide = Guide("frameworks/django.md", tmp_path)
        guide.use("with an engine")
        guide.environment["BUS"] = redis.url
        await prepare(guide)
        pages, subscriptions = guide.ports["8000"], guide.ports["8001"]
        guide.commands.append(f"django-admin runserver {pages} --noreload")
        program = tmp_path / "client.py"
        program.write_text(
            program.read_text().replace(
                f"ws://127.0.0.1:{pages}", f"ws://127.0.0.1:{subscriptions}"
            )
        )
        async with (
            guide.running("django-admin runserver", "8000"),
            guide.running("fraiseql-subs", "8001"),
            guide.reading("python client.py") as client,
        ):
            assert await client.line() == "{'item': 'tea', 'paid': False}"


async def test_an_order_of_django_and_its_event_are_one_transaction(tmp_path):
    async with PostgresServer() as postgres:
        postgres.install()
        guide = Guide("frameworks/django.md", tmp_path, {"5432": str(postgres.port)})
        guide.use("with PostgreSQL")
        await prepare(guide, "shop.settings_postgresql")
        async with guide.running("uvicorn", "8000"), guide.reading("python client.py") as client:
            assert await client.line() == "{'item': 'tea', 'paid': False}"


async def place_an_order_under_flask(guide: Guide) -> None:
    """Log in, subscribe, place an order, and wait for it."""
    async with guide.running("gunicorn", "8000"), guide.running("fraiseql-subs", "8001"):
        await guide.run("curl --fail --cookie-jar")
        async with guide.reading("curl --no-buffer") as client:
            await guide.subscribed("8001")
            await guide.run("curl --fail --cookie jar")
            while '{"orders":{"item":"tea"}}' not in await client.line():
                pass


async def test_a_view_of_flask_publishes_to_a_process_beside_it(tmp_path):
    async with RedisServer(tmp_path) as redis:
        guide = Guide("frameworks/flask.md", tmp_path)
        guide.environment["BUS"] = redis.url
        await place_an_order_under_flask(guide)


async def test_a_view_of_flask_publishes_over_http(tmp_path):
    guide = Guide("frameworks/flask.md", tmp_path)
    guide.use("over HTTP")
    guide.environment |= {
        "BUS": "memory://",
        "FRAISEQL_SUBS_PUBLISH_KEY": "a-key-of-the-publishers",
    }
    await place_an_order_under_flask(guide)


async def test_a_handler_of_litestar_publishes(tmp_path):
    guide = Guide("frameworks/litestar.md", tmp_path)
    async with guide.running("uvicorn", "8000"):
        await guide.run("curl --fail --cookie-jar")
        async with guide.reading("curl --no-buffer") as client:
            while '{"orders":{"item":"tea"}}' not in await client.line_after(
                "curl --fail --cookie jar"
            ):
                pass


async def test_a_handler_of_aiohttp_publishes_and_its_server_drains(tmp_path):
    guide = Guide("frameworks/aiohttp.md", tmp_path)
    async with guide.running("python app.py", "8000") as server:
        async with guide.reading("curl --no-buffer") as client:
            while '{"orders":{"item":"tea"}}' not in await client.line_after("curl --fail"):
                pass
        socket = await ProtocolClient.connect(
            f"ws://127.0.0.1:{guide.ports['8000']}/graphql",
            additional_headers={"authorization": "Bearer secret-of-ada"},
        )
        await socket.init()
        await socket.subscribe("subscription { orders { item } }")
        await guide.run("curl --fail")
        assert await socket.receive_data() == {"orders": {"item": "tea"}}
        server.terminate()
        await socket.expect_close(1001)
        assert await server.wait() == 0
