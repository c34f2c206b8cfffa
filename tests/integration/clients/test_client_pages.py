"""The programs of the pages about clients in a browser: tokens, reconnecting, resuming."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import eventually
from support.node import NodeProcess
from support.paths import ROOT, SCRIPTS

from fraiseql_subs import (
    ConnectionParams,
    History,
    Identity,
    Security,
    SubscriptionManager,
    passthrough,
)

MODULE = re.compile(r"^<!-- module: (\S+) -->\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RELAY = """
import { requestSubscription } from "relay-runtime";
import { environment } from "./environment.js";

// What the compiler of Relay makes of `subscription OrdersSubscription { orders { id status } }`.
const field = (name) => ({ kind: "ScalarField", name, alias: null, args: null, storageKey: null });
const selections = [
  {
    kind: "LinkedField", name: "orders", alias: null, args: null, storageKey: null,
    concreteType: "Order", plural: false, selections: [field("id"), field("status")],
  },
];
const common = { argumentDefinitions: [], name: "OrdersSubscription", selections };
const subscription = {
  kind: "Request",
  fragment: {
    ...common, kind: "Fragment", metadata: null, type: "Subscription", abstractKey: null,
  },
  operation: { ...common, kind: "Operation" },
  params: {
    cacheID: "orders", id: null, metadata: {}, name: "OrdersSubscription",
    operationKind: "subscription",
    text: "subscription OrdersSubscription { orders { id status } }",
  },
};
const show = (text) => document.querySelector("#root").append(`${text} `);
requestSubscription(environment, {
  subscription,
  variables: {},
  onNext: ({ orders }) => show(`${orders.id} ${orders.status}`),
  onError: (error) => show(error.message),
});
"""


@dataclass
class Order:
    id: str
    status: str


class Served:
    """A manager that keeps the tokens of its clients."""

    def __init__(self, history: History) -> None:
        self.tokens: list[str] = []
        self.manager = SubscriptionManager(
            [passthrough("orders", Order, channel="orders")],
            security=Security(authenticate=self._authenticate),
            history=history,
        )

    async def _authenticate(self, params: ConnectionParams) -> Identity:
        assert params.payload is not None
        self.tokens.append(params.payload["token"])
        return Identity("ada")

    async def subscribed(self) -> None:
        metrics = self.manager.metrics
        await eventually(lambda: metrics().subscriptions, "the page has subscribed")

    async def publish(self, number: int) -> None:
        await self.manager.publish("orders", {"id": str(number), "status": "paid"})

    async def cut_off(self) -> None:
        """Close the connection of the page, in a way that it comes back from."""
        closed = await self.manager.disconnect(identity=Identity("ada"), code=4000, reason="again")
        assert closed.closed == 1


def written(folder: Path, page: str, port: int) -> Path:
    """Write the modules of a page, and those of the page that it names, to a folder."""
    modules = {}
    for name in ("browser", page):
        modules |= MODULE.findall((ROOT / f"docs/how-to/clients/{name}.md").read_text())
    if page == "relay":
        modules["main.jsx"] = RELAY
    for name, code in modules.items():
        (folder / name).write_text(code.replace("127.0.0.1:8000", f"127.0.0.1:{port}"))
    (folder / "node_modules").symlink_to(SCRIPTS / "node_modules")
    return folder


async def reads(page: NodeProcess, text: str) -> None:
    """Read what the page shows until it is a text; React may show parts of it before."""
    shown = ""
    while shown != text:
        shown = await page.read()
        assert text.startswith(shown)


@pytest.mark.parametrize("name", ["browser", "urql", "apollo", "relay"])
async def test_a_page_comes_back_with_a_new_token_and_shows_what_it_missed(name, serve, tmp_path):
    served = Served(History())
    server = await serve(served.manager)
    folder = written(tmp_path, name, server.port)
    async with NodeProcess.run("component.mjs", str(folder)) as page:
        await served.subscribed()
        await served.publish(1)
        await reads(page, "1 paid")
        await served.cut_off()
        await served.publish(2)
        await served.publish(3)
        await reads(page, "1 paid 2 paid 3 paid")
    assert served.tokens == ["t1", "t2"]


async def test_a_page_is_told_that_it_is_too_late(serve, tmp_path):
    served = Served(History(events=1))
    server = await serve(served.manager)
    folder = written(tmp_path, "browser", server.port)
    async with NodeProcess.run("component.mjs", str(folder)) as page:
        await served.subscribed()
        await served.publish(1)
        await reads(page, "1 paid")
        await served.cut_off()
        for number in (2, 3, 4):
            await served.publish(number)
        await served.subscribed()
        await reads(page, "1 paid missed")
        await served.publish(5)
        await reads(page, "1 paid missed 5 paid")
