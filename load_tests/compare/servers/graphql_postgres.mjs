// graphql-ws on Node; events come over LISTEN of PostgreSQL by pg-listen.
import createSubscriber from "pg-listen";
import { bus } from "./control.mjs";
import { serve } from "./graphql_bridge.mjs";

await serve(async (publish) => {
  const subscriber = createSubscriber({ connectionString: bus });
  subscriber.notifications.on("feed", publish);
  await subscriber.connect();
  await subscriber.listenTo("feed");
});
