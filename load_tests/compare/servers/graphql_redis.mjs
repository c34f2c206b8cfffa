// graphql-ws on Node with `ws`; events come over Redis by graphql-redis-subscriptions.
import { createServer } from "node:http";
import { buildSchema } from "graphql";
import { RedisPubSub } from "graphql-redis-subscriptions";
import { withFilter } from "graphql-subscriptions";
import { useServer } from "graphql-ws/use/ws";
import { WebSocketServer } from "ws";
import { BACKLOG, SDL, bus, port, ready } from "./control.mjs";

const pubsub = new RedisPubSub({ connection: bus });
const events = withFilter(
  () => pubsub.asyncIterableIterator("feed"),
  (payload, { key }) => key == null || payload.feed.key === key,
);

const subscription = { feed: (args, context, info) => events(undefined, args, context, info) };
const server = createServer();
const sockets = new WebSocketServer({ server, path: "/graphql", perMessageDeflate: false });
useServer({ schema: buildSchema(SDL), roots: { subscription } }, sockets);
server.listen({ port, host: "127.0.0.1", backlog: BACKLOG }, ready);
