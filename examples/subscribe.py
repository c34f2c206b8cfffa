"""Print what a subscription receives, until the server ends.

    pip install websockets
    python examples/subscribe.py ws://127.0.0.1:8000/graphql

`make demo` has installed what it needs.
"""

import asyncio
import json
import os
import sys

from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

DOCUMENT = "subscription { orderUpdated { id userId status customer { name } } }"


async def main(url: str, document: str) -> None:
    """Subscribe and print each result until the server ends."""
    async with connect(url, subprotocols=[Subprotocol("graphql-transport-ws")]) as socket:
        await socket.send(json.dumps({"type": "connection_init"}))
        payload = {"query": document}
        async for text in socket:
            message = json.loads(text)
            if message["type"] == "connection_ack":
                subscribe = {"id": "1", "type": "subscribe", "payload": payload}
                await socket.send(json.dumps(subscribe))
            elif message["type"] == "ping":
                await socket.send(json.dumps({"type": "pong"}))
            else:
                print(json.dumps(message.get("payload")), flush=True)


if __name__ == "__main__":
    url = sys.argv[1] if len(sys.argv) > 1 else "ws://127.0.0.1:8000/graphql"
    document = sys.argv[2] if len(sys.argv) > 2 else DOCUMENT
    try:
        asyncio.run(main(url, document))
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:
        # What reads the output has ended, such as `head`. The interpreter flushes it once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        sys.exit(f"nothing serves {url} ({error}): start it first, for example with `make demo`")
