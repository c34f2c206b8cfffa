// A graphql-ws client that retries for ever without waiting; prints {"opened": true} for each
// connection that is acknowledged, {"closed": code} for each close, and {"ended": …} when it gives
// up. Arguments: the URL, a query, and whether it has the `shouldRetry` that the documents show.
import { createClient } from "graphql-ws";
import WebSocket from "ws";

const [url, query, isToldWhatIsFinal] = process.argv.slice(2);
const print = (value) => process.stdout.write(JSON.stringify(value) + "\n");
const told = { shouldRetry: ({ code }) => code !== 4403 };
const client = createClient({
  url,
  webSocketImpl: WebSocket,
  retryAttempts: Infinity,
  retryWait: () => Promise.resolve(),
  ...(isToldWhatIsFinal === "true" ? told : {}),
  on: {
    connected: () => print({ opened: true }),
    closed: ({ code }) => print({ closed: code }),
  },
});
client.subscribe(
  { query },
  {
    next: (result) => print(result),
    error: ({ code, reason }) => print({ ended: { code, reason } }),
    complete: () => print({ ended: { complete: true } }),
  },
);
