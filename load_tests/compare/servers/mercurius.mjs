// Mercurius on Fastify, with the emitter and the filter that it brings along.
import Fastify from "fastify";
import mercurius from "mercurius";
import { BACKLOG, SDL, obey, port, snapshot } from "./control.mjs";

const feed = {
  subscribe: mercurius.withFilter(
    (root, args, { pubsub }) => pubsub.subscribe("feed"),
    (payload, { key }) => key == null || payload.feed.key === key,
  ),
};

const app = Fastify();
app.register(mercurius, {
  schema: SDL,
  resolvers: { Subscription: { feed, snapshot: { subscribe: snapshot } } },
  subscription: true,
});
await app.listen({ port, host: "127.0.0.1", backlog: BACKLOG });
obey((event) => app.graphql.pubsub.publish({ topic: "feed", payload: { feed: event } }));
