// How a measured server on Node is started and told what to publish; see control.py.
import { createServer } from "node:net";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";

export const BACKLOG = 16_384;

export const SDL = `
  type Query { ok: Boolean }
  type Feed { sequence: Int! sentAt: Int! key: Int note: String! }
  type Subscription { feed(key: Int): Feed snapshot: Feed }
`;

/** What a subscription of `snapshot` gets at once; no event follows. */
export const SNAPSHOT = { sequence: 0, sentAt: 0, key: null, note: "x".repeat(90) };

/** Yields the snapshot, and then nothing for as long as the subscription lasts. */
export async function* snapshot() {
  yield { snapshot: SNAPSHOT };
  await new Promise(() => {});
}

const text = { type: "string" };
const { values } = parseArgs({
  options: { port: text, control: text, bus: text, compression: { type: "boolean" } },
});
export const port = Number(values.port);
export const bus = values.bus;
export const compression = values.compression ?? false;

/** Says that the server is ready. */
export const ready = () => process.stdout.write("ready\n");

/** Publishes the data of each line of the control port, and says that the server is ready. */
export function obey(publish) {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    createInterface({ input: socket }).on("line", (line) => publish(JSON.parse(line).data));
  });
  server.listen(Number(values.control), "127.0.0.1", ready);
}

/**
 * Publishes the data of each line of the control port until the input ends, then prints how many.
 * `publish` may return a promise.
 */
export function relay(publish) {
  let events = 0;
  obey((event) => {
    events += 1;
    return publish(event);
  });
  process.stdin.resume().on("end", () => {
    process.stdout.write(`${JSON.stringify({ events })}\n`, () => process.exit());
  });
}
