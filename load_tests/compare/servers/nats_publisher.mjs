// Publishes over NATS by its client `nats`, until the input ends.
import { connect } from "nats";
import { bus, relay } from "./control.mjs";

const nats = await connect({ servers: bus });
relay((event) => nats.publish("feed", JSON.stringify(event)));
