"""Sessions of TLS that clients resume when they return."""

from __future__ import annotations

import asyncio
import socket
import ssl

import pytest
from support.certificates import Credentials

from fraiseql_subs import SubscriptionManager, passthrough

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
HEALTH = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"


def make_manager() -> SubscriptionManager:
    return SubscriptionManager([passthrough("ticks", int, channel="ticks")])


@pytest.fixture
def credentials(tmp_path) -> Credentials:
    return Credentials(tmp_path / "tls")


@pytest.fixture(params=VERSIONS, ids=lambda version: version.name)
def trusting(request, credentials) -> ssl.SSLContext:
    context = credentials.trusting
    context.minimum_version = context.maximum_version = request.param
    return context


class Visit:
    """A connection that asks for the health of a server, and has ended."""

    def __init__(self, server, context: ssl.SSLContext, session: ssl.SSLSession | None) -> None:
        with (
            socket.create_connection((server.host, server.port)) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1", session=session) as secured,
        ):
            secured.sendall(HEALTH)
            answer = b""
            while received := secured.recv(65536):
                answer += received
            assert answer.startswith(b"HTTP/1.1 200"), answer
            self.is_resumed = secured.session_reused
            self.session = secured.session
            self.certificate = secured.getpeercert(binary_form=True)


async def visit(server, context, session=None) -> Visit:
    return await asyncio.to_thread(Visit, server, context, session)


async def test_a_client_that_returns_resumes_its_session(credentials, trusting, serve):
    server = await serve(make_manager(), tls=credentials.tls)
    first = await visit(server, trusting)
    assert not first.is_resumed
    second = await visit(server, trusting, first.session)
    assert second.is_resumed
    assert (await visit(server, trusting, second.session)).is_resumed


async def test_each_of_many_clients_resumes_its_session(credentials, trusting, serve):
    """The server keeps no sessions, of which it could have too few."""
    server = await serve(make_manager(), tls=credentials.tls)
    sessions = [(await visit(server, trusting)).session for _ in range(300)]
    for session in sessions[::50]:
        assert (await visit(server, trusting, session)).is_resumed


async def test_a_session_of_another_certificate_is_not_resumed(
    credentials, trusting, serve, tmp_path
):
    """After a change of the certificate a client sees the new one."""
    before = await serve(make_manager(), tls=credentials.tls)
    session = (await visit(before, trusting)).session
    renewed = Credentials(tmp_path / "renewed", authority=credentials.authority)
    after = await serve(make_manager(), tls=renewed.tls)
    visited = await visit(after, trusting, session)
    assert not visited.is_resumed
    chain = ssl.PEM_cert_to_DER_cert(renewed.cert.read_text().partition("-----END")[0] + END)
    assert visited.certificate == chain
    assert (await visit(after, trusting, visited.session)).is_resumed


END = "-----END CERTIFICATE-----\n"


async def openssl(server, *options: str) -> str:
    """Let the client of OpenSSL connect, and return what it prints."""
    process = await asyncio.create_subprocess_exec(
        *["openssl", "s_client", "-connect", f"{server.host}:{server.port}", *options],
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate(HEALTH)
    return output.decode(errors="replace")


async def test_openssl_reconnects_with_its_session(credentials, serve):
    server = await serve(make_manager(), tls=credentials.tls)
    printed = await openssl(server, "-reconnect", "-tls1_2")
    assert printed.count("New, TLSv1.2") == 1, printed
    assert printed.count("Reused, TLSv1.2") == 5


async def test_openssl_returns_with_its_ticket(credentials, serve, tmp_path):
    server = await serve(make_manager(), tls=credentials.tls)
    kept = str(tmp_path / "session")
    assert "New, TLSv1.3" in await openssl(server, "-tls1_3", "-ign_eof", "-sess_out", kept)
    assert "Reused, TLSv1.3" in await openssl(server, "-tls1_3", "-ign_eof", "-sess_in", kept)
