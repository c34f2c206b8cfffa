// Subscribes with one of several clients and prints each result as one line of JSON.
// Arguments: one JSON object with client, url, query, variables, count, headers, connectionParams.
// Ends after `count` results, or when the subscription ends; then prints {"ended": …}.
import { ApolloClient, ApolloLink, HttpLink, InMemoryCache, gql } from "@apollo/client";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { Client, fetchExchange, subscriptionExchange } from "@urql/core";
import { createClient as createEventClient } from "graphql-sse";
import { createClient as createSocketClient } from "graphql-ws";
import { SubscriptionClient } from "subscriptions-transport-ws";
import WebSocket from "ws";

const options = JSON.parse(process.argv[2]);
const { url, query, variables, headers, connectionParams } = options;
const socketUrl = url.replace(/^http/, "ws");
const print = (value) => process.stdout.write(JSON.stringify(value) + "\n");
let received = 0;
const observer = {
  next: (result) => {
    print(result);
    received += 1;
    if (received === options.count) end({ complete: true });
  },
  error: (fault) => end("code" in fault ? closed(fault) : { errors: describe(fault) }),
  complete: () => end({ complete: true }),
};

// A socket that was closed.
function closed({ code, reason }) {
  return { code, reason };
}

// What is wrong with a request.
function describe(fault) {
  if (Array.isArray(fault)) return fault;
  return (fault.errors ?? [fault]).map(({ message }) => ({ message }));
}

function end(ended) {
  print({ ended });
  process.exit(0);
}

function socketClient() {
  return createSocketClient({
    url: socketUrl,
    webSocketImpl: WebSocket,
    connectionParams,
    retryAttempts: 0,
  });
}

function apollo(link) {
  const client = new ApolloClient({ link, cache: new InMemoryCache() });
  client
    .subscribe({ query: gql(query), variables })
    .subscribe({
      ...observer,
      next: ({ data, error }) => (error ? observer.error(error) : observer.next({ data })),
    });
}

const clients = {
  "graphql-ws": () => socketClient().subscribe({ query, variables }, observer),
  "graphql-sse": (singleConnection) => {
    const client = createEventClient({ url, headers, singleConnection, retryAttempts: 0 });
    client.subscribe({ query, variables }, observer);
  },
  "graphql-sse-single": () => clients["graphql-sse"](true),
  "subscriptions-transport-ws": () => {
    const client = new SubscriptionClient(socketUrl, { reconnect: false }, WebSocket);
    client.request({ query, variables }).subscribe(observer);
  },
  "apollo-multipart": () => apollo(new HttpLink({ uri: url, headers })),
  "apollo-ws": () => apollo(new GraphQLWsLink(socketClient())),
  urql: () => {
    const socket = socketClient();
    const forward = (request) => ({
      subscribe: (sink) => ({ unsubscribe: socket.subscribe(request, sink) }),
    });
    const exchanges = [subscriptionExchange({ forwardSubscription: forward })];
    urql(exchanges);
  },
  // urql asks for an event stream by fetch.
  "urql-sse": () => urql([fetchExchange], { fetchSubscriptions: true }),
};

function urql(exchanges, more = {}) {
  const client = new Client({ url, exchanges, fetchOptions: { headers }, ...more });
  client.subscription(query, variables).subscribe(({ data, error }) => {
    if (error) observer.error(error.graphQLErrors);
    else if (data) observer.next({ data });
  });
}

clients[options.client]();
