"""A node: serves clients. Start as many as you like."""

import asyncio
import os

from shop import manager


async def main() -> None:
    """Serve until Ctrl-C or SIGTERM, then drain."""
    host, port = os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "8000"))
    async with manager.serve(host, port) as server:
        print(f"serving {server.http_url}", flush=True)
        await server.wait_closed()


if __name__ == "__main__":
    asyncio.run(main())
