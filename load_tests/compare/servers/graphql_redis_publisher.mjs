// Publishes over Redis by graphql-redis-subscriptions, until the input ends.
import { RedisPubSub } from "graphql-redis-subscriptions";
import { bus, relay } from "./control.mjs";

const pubsub = new RedisPubSub({ connection: bus });
relay((event) => pubsub.publish("feed", { feed: event }));
