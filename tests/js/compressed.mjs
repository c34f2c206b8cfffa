// Subscribes with npm's `ws`, which compresses all that it sends; prints what was agreed on, then
// each message as one line of JSON. Arguments: the URL, a query, and options of `perMessageDeflate`.
import WebSocket from "ws";

const [url, query, options] = process.argv.slice(2);
const print = (value) => process.stdout.write(JSON.stringify(value) + "\n");
const socket = new WebSocket(url, "graphql-transport-ws", {
  perMessageDeflate: { threshold: 0, ...JSON.parse(options) },
});
const send = (message) => socket.send(JSON.stringify(message));
socket.on("open", () => {
  print(socket.extensions);
  send({ type: "connection_init" });
});
socket.on("message", (data) => {
  const message = JSON.parse(data);
  if (message.type === "connection_ack") send({ id: "1", type: "subscribe", payload: { query } });
  else print(message.payload ?? message.type);
});
socket.on("close", (code, reason) => print({ code, reason: reason.toString() }));
socket.on("error", (error) => print({ error: String(error) }));
