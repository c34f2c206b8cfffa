// Subscribes with several clients, each set to connect again by itself for ever, and prints what
// they see, one line of JSON each: {client, data}, or {client, ended} which must not come.
// Arguments: the URL, a query, and the names of the clients.
import { ApolloClient, ApolloLink, HttpLink, InMemoryCache, gql } from "@apollo/client";
import { RetryLink } from "@apollo/client/link/retry";
import { createClient as createEventClient } from "graphql-sse";
import { createClient as createSocketClient } from "graphql-ws";
import { SubscriptionClient } from "subscriptions-transport-ws";
import WebSocket from "ws";

const [url, query, ...names] = process.argv.slice(2);
const socketUrl = url.replace(/^http/, "ws");
const retryWait = () => new Promise((resolve) => setTimeout(resolve, 100));
const again = { retryAttempts: Infinity, retryWait };

const print = (value) => process.stdout.write(JSON.stringify(value) + "\n");
const observer = (client) => ({
  next: ({ data }) => data && print({ client, data }),
  error: (fault) => print({ client, ended: { code: fault.code, text: String(fault.message ?? fault) } }),
  complete: () => print({ client, ended: "complete" }),
});

const clients = {
  "graphql-ws": (observer) => {
    // Without it a connection that is refused is final in Node.js.
    const shouldRetry = () => true;
    const options = { url: socketUrl, webSocketImpl: WebSocket, shouldRetry, ...again };
    createSocketClient(options).subscribe({ query }, observer);
  },
  "subscriptions-transport-ws": (observer) => {
    const options = { reconnect: true, minTimeout: 5000 };
    new SubscriptionClient(socketUrl, options, WebSocket).request({ query }).subscribe(observer);
  },
  "graphql-sse": (observer) => createEventClient({ url, ...again }).subscribe({ query }, observer),
  "graphql-sse-single": (observer) =>
    createEventClient({ url, singleConnection: true, ...again }).subscribe({ query }, observer),
  "apollo-multipart": (observer) => {
    const attempts = { max: Infinity };
    const retry = new RetryLink({ attempts, delay: { initial: 100, max: 100 } });
    const link = ApolloLink.from([retry, new HttpLink({ uri: url })]);
    const client = new ApolloClient({ link, cache: new InMemoryCache() });
    client.subscribe({ query: gql(query) }).subscribe({
      ...observer,
      next: ({ data, error }) => (error ? observer.error(error) : observer.next({ data })),
    });
  },
};

for (const name of names) clients[name](observer(name));
