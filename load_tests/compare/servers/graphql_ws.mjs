// graphql-ws on Node with `ws`; events reach subscribers through a queue for each.
// Told what to publish like the Python servers: see control.py.
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import { buildSchema } from "graphql";
import { useServer } from "graphql-ws/use/ws";
import { WebSocketServer } from "ws";

const PACE_MS = 10;
const EVENT = { id: 7, userId: 3, status: "PAID", total: 12.5, note: "x".repeat(120) };

const subscribers = new Set();

async function* orders() {
  const queue = [];
  let wake = () => {};
  const push = (event) => {
    queue.push(event);
    wake();
  };
  subscribers.add(push);
  try {
    while (true) {
      while (queue.length) yield { orderUpdated: queue.shift() };
      await new Promise((resolve) => (wake = resolve));
    }
  } finally {
    subscribers.delete(push);
  }
}

const schema = buildSchema(`
  type Query { ok: Boolean }
  type Order { id: Int! userId: Int! status: String! total: Float! note: String! }
  type Subscription { orderUpdated: Order! }
`);
const server = createServer();
const sockets = new WebSocketServer({ server, path: "/graphql", perMessageDeflate: false });
useServer({ schema, roots: { subscription: { orderUpdated: orders } } }, sockets);
server.listen(0, "127.0.0.1", async () => {
  process.stdout.write(`${server.address().port}\n`);
  for await (const line of createInterface({ input: process.stdin })) {
    const [how, count] = line.split(" ");
    for (let n = 0; n < Number(count); n += 1) {
      for (const push of subscribers) push(EVENT);
      await (how === "paced" ? pause(PACE_MS) : new Promise(setImmediate));
    }
    process.stdout.write("done\n");
  }
  process.exit(0);
});
