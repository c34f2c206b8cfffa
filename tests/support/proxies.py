"""Proxies that users have: nginx and HAProxy, each with settings of a test."""

from __future__ import annotations

import contextlib
import shutil
import socket
from collections.abc import AsyncIterator
from pathlib import Path

from support.programs import finish, start_command
from support.waiting import eventually

STREAM_MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so"


@contextlib.asynccontextmanager
async def nginx(folder: Path, port: int, settings: str) -> AsyncIterator[None]:
    """Run nginx until it listens at a port; `settings` are what follows `events`."""
    (folder / "nginx.conf").write_text(f"events {{}}\n{settings}")
    load = f"load_module {STREAM_MODULE}; " if "stream {" in settings else ""
    arguments = ["-e", "stderr", "-p", str(folder), "-c", "nginx.conf"]
    arguments += ["-g", f"{load}daemon off; pid nginx.pid;"]
    async with _running("nginx", "libnginx-mod-stream nginx-light", port, arguments):
        yield


@contextlib.asynccontextmanager
async def haproxy(folder: Path, port: int, settings: str) -> AsyncIterator[None]:
    """Run HAProxy until it listens at a port; `settings` are its sections, without `defaults`."""
    defaults = "defaults\n timeout connect 60s\n timeout client 1h\n timeout server 1h\n"
    (folder / "haproxy.cfg").write_text(f"{defaults}{settings}\n")
    arguments = ["-db", "-f", str(folder / "haproxy.cfg")]
    async with _running("haproxy", "haproxy", port, arguments):
        yield


@contextlib.asynccontextmanager
async def _running(
    name: str, packages: str, port: int, arguments: list[str]
) -> AsyncIterator[None]:
    program = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    assert program, f"{name} is not installed: apt-get install {packages}"
    process = await start_command(program, *arguments)

    def listens() -> bool:
        if process.returncode is None:
            socket.create_connection(("127.0.0.1", port)).close()
        return True

    try:
        await eventually(listens, f"{name} listens")
        if process.returncode is not None:
            raise AssertionError((await finish(process))[2])
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await finish(process)
