// A client of subscriptions-transport-ws; prints each connection and each close, and {"stayed": true}
// when it was connected for five times its own timeout. Arguments: the URL, the timeout (ms).
import { SubscriptionClient } from "subscriptions-transport-ws";
import WebSocket from "ws";

const [url, timeout] = process.argv.slice(2);
const print = (value) => process.stdout.write(JSON.stringify(value) + "\n");
const options = { reconnect: true, timeout: Number(timeout), minTimeout: 60_000 };
const client = new SubscriptionClient(url, options, WebSocket);
client.onConnected(() => {
  print({ connected: true });
  setTimeout(() => print({ stayed: true }), 5 * Number(timeout));
});
client.onDisconnected(() => print({ disconnected: true }));
