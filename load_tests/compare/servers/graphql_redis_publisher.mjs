// Publishes over Redis by graphql-redis-subscriptions, until the input ends.
import { RedisPubSub } from "graphql-redis-subscriptions";
import { obey, redis } from "./control.mjs";

const pubsub = new RedisPubSub({ connection: redis });
let published = 0;
obey((event) => {
  published += 1;
  pubsub.publish("feed", { feed: event });
});
process.stdin.resume().on("end", () => {
  process.stdout.write(`${published}\n`, () => process.exit());
});
