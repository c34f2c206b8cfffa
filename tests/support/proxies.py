"""Proxies that users have: nginx, HAProxy and Caddy, each with settings of a test."""

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
async def nginx(
    folder: Path, port: int, settings: str, *, whole: bool = False
) -> AsyncIterator[None]:
    """Run nginx, listening at a port; `settings` are what follows `events`, or the whole file."""
    (folder / "nginx.conf").write_text(settings if whole else f"events {{}}\n{settings}")
    load = f"load_module {STREAM_MODULE}; " if "stream {" in settings else ""
    arguments = ["-e", "stderr", "-p", str(folder), "-c", "nginx.conf"]
    arguments += ["-g", f"{load}daemon off; pid nginx.pid;"]
    async with _running("nginx", "libnginx-mod-stream nginx-light", port, arguments):
        yield


@contextlib.asynccontextmanager
async def haproxy(
    folder: Path, port: int, settings: str, *, whole: bool = False
) -> AsyncIterator[None]:
    """Run HAProxy, listening at a port; `settings` are its sections, `whole` with `defaults`."""
    defaults = "defaults\n timeout connect 60s\n timeout client 1h\n timeout server 1h\n"
    (folder / "haproxy.cfg").write_text(settings if whole else f"{defaults}{settings}\n")
    arguments = ["-db", "-f", str(folder / "haproxy.cfg")]
    async with _running("haproxy", "haproxy", port, arguments):
        yield


@contextlib.asynccontextmanager
async def caddy(
    folder: Path, port: int, settings: str, *, whole: bool = True
) -> AsyncIterator[None]:
    """Run Caddy until it listens at a port; `settings` are the whole Caddyfile."""
    assert whole
    (folder / "Caddyfile").write_text(settings)
    arguments = ["run", "--config", str(folder / "Caddyfile")]
    # It keeps the last configuration and certificates below the home.
    environment = {"XDG_CONFIG_HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    async with _running("caddy", "caddy", port, arguments, environment):
        yield


@contextlib.asynccontextmanager
async def _running(
    name: str,
    packages: str,
    port: int,
    arguments: list[str],
    environment: dict[str, str] | None = None,
) -> AsyncIterator[None]:
    program = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    assert program, f"{name} is not installed: apt-get install {packages}"
    variables = [f"{key}={value}" for key, value in (environment or {}).items()]
    process = await start_command("env", *variables, program, *arguments)

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
