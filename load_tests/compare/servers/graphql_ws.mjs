// graphql-ws on Node with `ws`; events reach subscriptions through a queue for each.
import { createServer } from "node:http";
import { buildSchema } from "graphql";
import { useServer } from "graphql-ws/use/ws";
import { WebSocketServer } from "ws";
import { BACKLOG, SDL, compression, obey, port, snapshot } from "./control.mjs";

const subscribers = new Set();

async function* feed({ key }) {
  const queue = [];
  let wake = () => {};
  const push = (event) => {
    if (key != null && event.key !== key) return;
    queue.push(event);
    wake();
  };
  subscribers.add(push);
  try {
    while (true) {
      while (queue.length) yield { feed: queue.shift() };
      await new Promise((resolve) => (wake = resolve));
    }
  } finally {
    subscribers.delete(push);
  }
}

const server = createServer();
const sockets = new WebSocketServer({ server, path: "/graphql", perMessageDeflate: compression });
useServer({ schema: buildSchema(SDL), roots: { subscription: { feed, snapshot } } }, sockets);
server.listen({ port, host: "127.0.0.1", backlog: BACKLOG }, () =>
  obey((event) => {
    for (const push of subscribers) push(event);
  }),
);
