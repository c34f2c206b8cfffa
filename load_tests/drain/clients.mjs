// Keeps clients of npm `graphql-ws` subscribed: node clients.mjs COUNT WAIT QUERY URL...
//
// A client connects to the first URL, and after each end of its connection to the next one. WAIT is
// "none", to connect again at once, or "default", the pause of graphql-ws. Prints what has happened as
// lines of JSON, {opened, connected, closed}: pairs of a time (seconds) and the number of the URL; of the
// ends also the close code.
import { createRequire } from "node:module";

// The packages of the tests.
const require = createRequire(new URL("../../tests/js/package.json", import.meta.url));
const { createClient } = require("graphql-ws");
const WebSocket = require("ws");

const [count, wait, query, ...urls] = process.argv.slice(2);

/** Clients that connect for the first time at once. */
const CONNECTING = 25;
/** Time between two lines (milliseconds). */
const INTERVAL = 100;

let seen;
const forget = () => (seen = { opened: [], connected: [], closed: [] });
const now = () => (performance.timeOrigin + performance.now()) / 1000;
forget();

/** Starts a client; the promise is done when it is connected. */
function start() {
  let attempt = 0;
  const place = () => attempt % urls.length;
  return new Promise((done) => {
    const client = createClient({
      url: () => urls[place()],
      webSocketImpl: WebSocket,
      retryAttempts: Infinity,
      shouldRetry: () => true,
      ...(wait === "none" ? { retryWait: async () => {} } : {}),
      on: {
        opened: () => seen.opened.push([now(), place()]),
        connected: () => {
          seen.connected.push([now(), place()]);
          done();
        },
        closed: ({ code }) => {
          seen.closed.push([now(), place(), code]);
          attempt += 1;
        },
      },
    });
    client.subscribe({ query }, { next() {}, error: (fault) => console.error(fault), complete() {} });
  });
}

setInterval(() => {
  if (Object.values(seen).some((list) => list.length)) process.stdout.write(JSON.stringify(seen) + "\n");
  forget();
}, INTERVAL);
process.stdin.on("end", () => process.exit()).resume();

let left = Number(count);
const connecting = async () => {
  while (left > 0) {
    left -= 1;
    await start();
  }
};
await Promise.all(Array.from({ length: CONNECTING }, connecting));
