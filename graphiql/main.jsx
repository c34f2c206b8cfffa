// The page: GraphiQL on the URL it was loaded from, with subscriptions over a WebSocket.
import { createGraphiQLFetcher } from "@graphiql/toolkit";
import { GraphiQL } from "graphiql";
import "graphiql/graphiql.css";
import { createElement } from "react";
import { createRoot } from "react-dom/client";

const url = new URL(location.href);
const parameters = url.searchParams;
const query = parameters.get("document") ?? undefined;
url.search = url.hash = "";
const socketUrl = new URL(url);
socketUrl.protocol = url.protocol === "https:" ? "wss:" : "ws:";

// What is typed as headers is sent with `connection_init` as well.
const fetcher = createGraphiQLFetcher({ url: url.href, subscriptionUrl: socketUrl.href });
const welcome = `# Welcome. Ctrl-Space completes, Ctrl-Enter runs; the book on the left is the schema.
# A subscription goes on until you stop it.
`;

createRoot(document.getElementById("graphiql")).render(
  createElement(GraphiQL, { fetcher, query, defaultQuery: welcome, shouldPersistHeaders: false }),
);
