// Requests of the page: subscriptions over a WebSocket that reconnects, everything else over HTTP.
// It tells `status` how the connection is, and `events` what was received.
import { createGraphiQLFetcher } from "@graphiql/toolkit";
import { getOperationAST, parse } from "graphql";
import { createClient } from "graphql-ws";
import { EventLog } from "./event_log.js";
import {
  explainClose,
  explainFault,
  explainHandshake,
  explainStatus,
  isPassing,
  MISSED,
  RECONNECTED,
  UNREACHED,
} from "./explanations.js";
import { perFrame } from "./frames.js";
import { createStore } from "./store.js";

const PING = 10_000; // milliseconds between two pings
const PONG = 5_000; // milliseconds for the answer
const LONGEST_WAIT = 10_000; // milliseconds between two attempts to connect

// `phase`: idle, connecting, connected, reconnecting or closed. `banner`: see explanations.js.
export const status = createStore({ phase: "idle", banner: null });
export const events = createStore(new EventLog().snapshot(0));

const change = (changes) => status.set({ ...status.get(), ...changes });
let log = new EventLog();
const showEvents = () => events.set(log.snapshot(performance.now()));
// The rate of a stream that has stopped goes down as well.
setInterval(() => events.get().rate && showEvents(), 1_000);

export function clearEvents() {
  log = new EventLog();
  showEvents();
}

export function createFetcher(url) {
  const page = new URL(url);
  const socketUrl = new URL(url);
  socketUrl.protocol = page.protocol === "https:" ? "wss:" : "ws:";

  async function watchedFetch(...request) {
    let response;
    try {
      response = await fetch(...request);
    } catch (error) {
      change({ banner: UNREACHED });
      throw error;
    }
    const body = response.ok ? null : await response.clone().json().catch(() => null);
    const banner = explainStatus(response.status, body?.errors?.[0]?.message, page);
    if (banner || !isSubscribed()) change({ banner });
    return response;
  }

  const overHttp = createGraphiQLFetcher({ url, fetch: watchedFetch });
  return (request, options) =>
    isSubscription(request)
      ? { subscribe: (sink) => subscribe(request, options?.headers, sink) }
      : overHttp(request, options);

  // A refused handshake has no reason in a browser: a request to the same URL may have one.
  async function askForReason(headers) {
    let response;
    try {
      response = await fetch(url, {
        method: "POST",
        headers: { "content-type": "application/json", accept: "application/json", ...headers },
        body: JSON.stringify({ query: "{ __typename }" }),
      });
    } catch {
      return explainHandshake(false);
    }
    const body = await response.json().catch(() => null);
    const banner = explainStatus(response.status, body?.errors?.[0]?.message, page);
    return banner ?? explainHandshake(true);
  }

  function subscribe(request, headers, sink) {
    let isEnded = false;
    let newest = null;
    let isRefused = false; // the last handshake
    let pong = null;
    const resume = {}; // The client sends it again when it reconnects: with the newest id.
    clearEvents();
    change({ phase: "connecting", banner: null });

    const show = perFrame(() => {
      showEvents();
      if (newest) sink.next(newest);
      newest = null;
    });
    const end = (phase, tell) => {
      if (isEnded) return;
      isEnded = true;
      clearTimeout(pong);
      show.flush();
      change({ phase });
      tell?.();
    };

    const client = createClient({
      url: socketUrl.href,
      connectionParams: headers,
      keepAlive: PING,
      retryAttempts: Infinity,
      // A handshake that fails is an event of type "error", without a code.
      shouldRetry: (event) => !isEnded && (event.type === "error" || isPassing(event.code)),
      retryWait: async (attempts) => {
        const wait = Math.min(2 ** attempts * 500, LONGEST_WAIT) + Math.random() * 500;
        if (isRefused) {
          const banner = await askForReason(headers);
          if (isEnded) return;
          change({ banner });
          if (banner.level === "error") {
            end("closed", () => sink.complete());
            unsubscribe();
            return;
          }
        }
        await new Promise((resolve) => setTimeout(resolve, wait));
      },
      on: {
        connecting: () => (isRefused = false),
        connected: (_socket, _payload, isRetry) =>
          isEnded || change({ phase: "connected", banner: isRetry ? RECONNECTED : null }),
        ping: (isReceived) => {
          if (!isReceived) pong = setTimeout(() => client.terminate(), PONG);
        },
        pong: (isReceived) => isReceived && clearTimeout(pong),
        error: (event) => {
          isRefused = event.type === "error";
          if (!isEnded) change({ phase: "reconnecting" });
        },
        closed: (event) => {
          clearTimeout(pong);
          if (isEnded || isRefused || !isPassing(event.code)) return;
          change({ phase: "reconnecting", banner: explainClose(event) });
        },
      },
    });
    const unsubscribe = client.subscribe({ ...request, extensions: { resume } }, {
      next(received) {
        if (isEnded) return;
        const { result, id, missed } = withoutPosition(received);
        if (id) resume.after = id;
        if (missed) change({ banner: MISSED });
        if (!result) return;
        log.add(result, performance.now());
        newest = result;
        show.ask();
      },
      error(fault) {
        if (Array.isArray(fault)) return end("idle", () => sink.error(fault));
        // The banner has the reason; the newest result stays.
        change({ banner: "code" in fault ? explainClose(fault) : explainFault(fault) });
        end("closed", () => sink.complete());
      },
      complete: () => end("idle", () => sink.complete()),
    });
    return {
      unsubscribe() {
        end("idle");
        unsubscribe();
        change({ banner: null });
      },
    };
  }
}

// Splits a result into what the subscription has sent, if anything, and its position in the stream.
function withoutPosition({ extensions: { resume, ...others } = {}, ...result }) {
  const isPosition = resume && "missed" in resume && result.data === null && !result.errors;
  if (Object.keys(others).length) result.extensions = others;
  return { result: isPosition ? null : result, id: resume?.id, missed: resume?.missed };
}

const isSubscribed = () => !["idle", "closed"].includes(status.get().phase);

// GraphiQL has the parsed document as well, a moment after the text has changed.
function isSubscription({ query, operationName }) {
  try {
    return getOperationAST(parse(query), operationName)?.operation === "subscription";
  } catch {
    return false; // The server says what is wrong with it.
  }
}
