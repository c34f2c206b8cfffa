"""A server in a separate process, whose memory and descriptors can be measured."""

from __future__ import annotations

import asyncio
import os
import re
import ssl
import textwrap
from pathlib import Path

import httpx

from support.logged_process import LoggedProcess
from support.urls import http_url
from support.waiting import PATIENCE, eventually

PROGRAM = """
import asyncio, resource, sys
from fraiseql_subs import *

{limit}
{before}

async def main():
    async with manager.serve(port=0{options}) as server:
        print(server.port, flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            await manager.publish("ticks", "tick")

asyncio.run(main())
"""

DECLARED = 'manager = SubscriptionManager([passthrough("ticks", str, channel="ticks")]{})'


def manager(options: str = "") -> str:
    """Return the code of the manager for most tests, with one worker by default."""
    return DECLARED.format(f", workers=1, {options}")


class ServerProcess(LoggedProcess):
    """One server; `async with ServerProcess(manager("limits=Limits(...)")) as server`.

    Args:
        before: Code that makes `manager`.
        options: More parameters of `serve`, each with its comma.
        descriptors: Files the process may have open (count); None: as many as here.
        environment: More variables of its environment.
    """

    def __init__(
        self,
        before: str,
        options: str = "",
        descriptors: int | None = None,
        environment: dict[str, str] | None = None,
    ) -> None:
        self.environment = environment or {}
        self.has_tls = "tls=" in options
        limit = ""
        if descriptors is not None:
            limit = f"resource.setrlimit(resource.RLIMIT_NOFILE, ({descriptors}, {descriptors}))"
        self.code = PROGRAM.format(limit=limit, before=textwrap.dedent(before), options=options)

    async def __aenter__(self) -> ServerProcess:
        await self.start(self.code, **self.environment)
        assert self.process.stdout is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), PATIENCE)
        assert line, self.log
        self.port = int(line)
        # On a busy machine, a test with short deadlines may miss one.
        await eventually(self._is_answered, "the server answers")
        return self

    @property
    def url(self) -> str:
        """URL for WebSocket clients."""
        return f"{'wss' if self.has_tls else 'ws'}://127.0.0.1:{self.port}/graphql"

    @property
    def http_url(self) -> str:
        """URL for HTTP clients."""
        return http_url(self.url)

    async def _is_answered(self) -> bool:
        """Send one request, so that the server has opened only its own files."""
        context = None
        if self.has_tls:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=context)
        own_port = writer.get_extra_info("sockname")[1]
        try:
            writer.write(
                b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
            )
            response = await asyncio.wait_for(reader.read(), PATIENCE)
        finally:
            writer.close()
        assert response.startswith(b"HTTP/1.1 200 "), response
        await writer.wait_closed()
        await eventually(lambda: not self.serves(own_port), "the server has closed its socket")
        return True

    @property
    def memory(self) -> float:
        """Resident memory (MiB)."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+)", status)
        assert found is not None
        return int(found[1]) / 1024

    @property
    def peak_memory(self) -> float:
        """Peak of the resident memory (MiB)."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+)", status)
        assert found is not None
        return int(found[1]) / 1024

    @property
    def descriptors(self) -> int:
        """Files that are open (count)."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    async def publish(self) -> None:
        """Let the server publish one event to `ticks`."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        await self.process.stdin.drain()

    async def metric(self, name: str, client: httpx.AsyncClient | None = None) -> int:
        """Read a counter, the sum of its labels, through a connected client or a new one."""
        if client is None:
            async with httpx.AsyncClient(timeout=PATIENCE) as new:
                return await self.metric(name, new)
        text = (await client.get(f"http://127.0.0.1:{self.port}/metrics")).text
        sample = rf"^fraiseql_subs_{name}(?:_total)?(?:{{.*}})? (\d+)$"
        assert f"# TYPE fraiseql_subs_{name}" in text, f"there is no {name}"
        return sum(map(int, re.findall(sample, text, re.MULTILINE)))

    async def answers(self) -> bool:
        """Whether a new HTTP client receives an answer."""
        async with httpx.AsyncClient(timeout=PATIENCE) as client:
            response = await client.post(self.http_url, json={"query": "{ __typename }"})
        return response.status_code == 200
