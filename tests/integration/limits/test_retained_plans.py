"""The compiled plan of a running operation counts for its connection's retained memory."""

from __future__ import annotations

from fraiseql_subs import Limits, SubscriptionManager, passthrough

FIELDS = 400
SDL = "type Query { a: Int } type Subscription { tick: Tick } type Tick { n: Int }"
LIMITS = Limits(max_retained_bytes=512 * 1024, max_aliases=None, max_complexity=None)


def document(number: int) -> str:
    selected = " ".join(f"a{number}_{field}: n" for field in range(FIELDS))
    return f"subscription {{ tick {{ {selected} }} }}"


async def test_large_selections_count(serve, connect):
    tick = passthrough("tick", channel="tick")
    server = await serve(SubscriptionManager([tick], schema=SDL, limits=LIMITS))
    client = await connect(server.url)
    running = []
    while not client.has_received:
        running.append(await client.subscribe(document(len(running))))
        assert len(running) < 50
    refused = running.pop()
    [error] = await client.receive_errors(refused)
    assert "max_retained_bytes" in error["message"]
    # An ended operation frees memory.
    for id in running:
        await client.complete(id)
    await client.subscribe(document(0))
    assert not client.has_received
