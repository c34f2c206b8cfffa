"""Clients whose network is lost: no FIN and no RST ever arrives.

The test creates its own network (a namespace of Linux), and switches its only device off.
"""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest
from support import PATIENCE
from support.programs import ENVIRONMENT

PROGRAM = """
import asyncio, fcntl, socket, struct, sys
from fraiseql_subs import Limits, SubscriptionManager, passthrough
from support import eventually

IFF_UP, SIOCSIFFLAGS = 1, 0x8914

def switch(flags):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as device:
        fcntl.ioctl(device, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", flags))

STREAM = '''POST /graphql HTTP/1.1
host: x
accept: ACCEPT
content-type: application/json
content-length: 33

{"query":"subscription { feed }"}'''

WEBSOCKET = '''GET /graphql HTTP/1.1
host: x
upgrade: websocket
connection: Upgrade
sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==
sec-websocket-version: 13
sec-websocket-protocol: graphql-transport-ws

'''

REQUESTS = {
    "websocket": WEBSOCKET,
    "sse": STREAM.replace("ACCEPT", "text/event-stream"),
    "multipart": STREAM.replace("ACCEPT", "multipart/mixed"),
}

async def main(kind):
    feed = passthrough("feed", int, channel="feed")
    manager = SubscriptionManager([feed], limits=Limits(keepalive=0.5))
    switch(IFF_UP)
    async with manager.serve(port=0, drain=0.0) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(REQUESTS[kind].replace(chr(10), chr(13) + chr(10)).encode())
        print(await reader.readuntil(b" OK" if kind != "websocket" else b" 101"), flush=True)
        await eventually(lambda: manager.metrics().connections, "the client is connected")
        switch(0)
        if sys.argv[2] == "busy":
            await manager.publish("feed", 1)
        await eventually(lambda: not manager.metrics().connections, "the client is ended")
        print("ended", flush=True)
        writer.transport.abort()

asyncio.run(main(sys.argv[1]))
"""

UNSHARE = ["unshare", "--net", "--map-root-user"]


@pytest.fixture(scope="module")
def namespace() -> list[str]:
    """The command that runs another command in a separate network."""
    if sys.platform != "linux" or shutil.which("unshare") is None:
        pytest.skip("a network of its own takes Linux, and unshare of util-linux")
    if subprocess.run([*UNSHARE, "true"], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("this user may make no network namespace")
    return UNSHARE


@pytest.mark.parametrize("traffic", ["idle", "busy"])
@pytest.mark.parametrize("kind", ["websocket", "sse", "multipart"])
def test_a_client_whose_network_is_lost_is_ended(kind, traffic, namespace):
    command = [*namespace, sys.executable, "-c", PROGRAM, kind, traffic]
    # Without this, the kernel would retransmit for a quarter of an hour.
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, timeout=3 * PATIENCE, env=ENVIRONMENT
    )
    assert done.stdout.endswith("ended\n"), done.stdout
