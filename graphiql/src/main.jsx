// The page: GraphiQL on the URL it was loaded from, with subscriptions over a WebSocket.
import { GraphiQL } from "graphiql";
import "graphiql/graphiql.css";
import { createRoot } from "react-dom/client";
import { createFetcher } from "./connection.js";
import { Events } from "./events.jsx";
import { Opening, WELCOME } from "./opening.jsx";
import "./page.css";
import { createStorage } from "./storage.js";
import { Banner, Status } from "./status.jsx";

const url = new URL(location.href);
const query = url.searchParams.get("document") ?? undefined;
url.search = url.hash = "";
const fetcher = createFetcher(url.href);

createRoot(document.getElementById("graphiql")).render(
  <GraphiQL
    fetcher={fetcher}
    query={query}
    defaultQuery={WELCOME}
    storage={createStorage()}
    shouldPersistHeaders={false}
  >
    <GraphiQL.Footer>
      <Opening isGiven={query !== undefined} />
      <Status />
      <Banner />
      <Events />
    </GraphiQL.Footer>
  </GraphiQL>,
);
