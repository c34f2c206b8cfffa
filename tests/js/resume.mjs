// Subscribes with a client that connects again by itself, and goes on where it was: the client
// sends its payload again, in which the newest id stands. Prints each result as one line of JSON.
// Arguments: graphql-ws or graphql-sse, the URL, a query.
import { createClient as createEventClient } from "graphql-sse";
import { createClient as createSocketClient } from "graphql-ws";
import WebSocket from "ws";

const [kind, url, query] = process.argv.slice(2);
const again = { retryAttempts: Infinity, retryWait: () => Promise.resolve() };
const clients = {
  "graphql-ws": () =>
    createSocketClient({
      url: url.replace(/^http/, "ws"),
      webSocketImpl: WebSocket,
      shouldRetry: () => true,
      ...again,
    }),
  "graphql-sse": () => createEventClient({ url, ...again }),
};
const resume = {};
const results = clients[kind]().iterate({ query, extensions: { resume } });
for await (const { data, extensions } of results) {
  const { id, missed } = extensions.resume;
  if (id) resume.after = id;
  process.stdout.write(JSON.stringify({ data, missed }) + "\n");
}
