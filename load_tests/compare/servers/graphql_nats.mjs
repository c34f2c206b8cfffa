// graphql-ws on Node; events come over NATS by its client `nats`.
import { connect } from "nats";
import { bus } from "./control.mjs";
import { serve } from "./graphql_bridge.mjs";

await serve(async (publish) => {
  const nats = await connect({ servers: bus });
  nats.subscribe("feed", { callback: (error, message) => publish(message.json()) });
  await nats.flush();
});
