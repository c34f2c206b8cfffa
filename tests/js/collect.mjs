// Subscribes with the npm client graphql-ws and prints each result as one line of JSON.
// Arguments: one JSON object with url, query, variables, count, connectionParams.
// Ends after `count` results, or when the subscription ends; then prints {"ended": …}.
import { createClient } from "graphql-ws";
import WebSocket from "ws";

const options = JSON.parse(process.argv[2]);
const client = createClient({
  url: options.url,
  webSocketImpl: WebSocket,
  connectionParams: options.connectionParams,
  retryAttempts: 0,
  on: { connected: () => process.stdout.write('{"connected":true}\n') },
});
const request = { query: options.query, variables: options.variables };
let received = 0;
let ended = { complete: true };
try {
  for await (const result of client.iterate(request)) {
    process.stdout.write(JSON.stringify(result) + "\n");
    received += 1;
    if (received === options.count) break;
  }
} catch (fault) {
  ended = Array.isArray(fault)
    ? { errors: fault }
    : { code: fault.code, reason: fault.reason ?? String(fault) };
}
process.stdout.write(JSON.stringify({ ended }) + "\n");
await client.dispose();
