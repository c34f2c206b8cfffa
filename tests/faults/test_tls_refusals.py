"""X9: the server refuses the client, or one side speaks no TLS: the log says what to do."""

from __future__ import annotations

import pytest
from support.certificates import Credentials
from support.redis_server import free_port
from tls import refusal, tls_options, url_of

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("has_one", [False, True], ids=["none", "one of another authority"])
async def test_a_client_that_redis_does_not_trust_is_refused(
    has_one, start_redis, tmp_path, caplog
):
    server, client = Credentials(tmp_path / "server"), Credentials(tmp_path / "client")
    port = free_port()
    redis = await start_redis(**tls_options(server, server, port))
    url = url_of(port, server.authorities, client if has_one else None)
    told = await refusal(url, redis, caplog)
    assert "tls_certificate" in told


async def test_a_port_without_tls_is_told(start_redis, tmp_path, caplog):
    redis = await start_redis()
    made = Credentials(tmp_path / "made")
    told = await refusal(url_of(redis.port, made.authorities, None), redis, caplog)
    assert "TLS" in told and "redis://" in told


async def test_a_port_with_tls_is_told(start_redis, tmp_path, caplog):
    server = Credentials(tmp_path / "server")
    port = free_port()
    redis = await start_redis(**tls_options(server, server, port))
    told = await refusal(f"redis://localhost:{port}", redis, caplog)
    assert "rediss://" in told
