// graphql-ws on Node with `ws`, for events that a client of an engine receives: `begin` starts that
// client, and is given what to call with each event.
import { createServer } from "node:http";
import { buildSchema } from "graphql";
import { PubSub, withFilter } from "graphql-subscriptions";
import { useServer } from "graphql-ws/use/ws";
import { WebSocketServer } from "ws";
import { BACKLOG, SDL, port, ready } from "./control.mjs";

export async function serve(begin) {
  const pubsub = new PubSub();
  const events = withFilter(
    () => pubsub.asyncIterableIterator("feed"),
    (payload, { key }) => key == null || payload.feed.key === key,
  );
  const subscription = { feed: (args, context, info) => events(undefined, args, context, info) };
  await begin((event) => pubsub.publish("feed", { feed: event }));
  const server = createServer();
  const sockets = new WebSocketServer({ server, path: "/graphql", perMessageDeflate: false });
  useServer({ schema: buildSchema(SDL), roots: { subscription } }, sockets);
  server.listen({ port, host: "127.0.0.1", backlog: BACKLOG }, ready);
}
