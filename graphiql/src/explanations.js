// What a refusal or a close means, and what to do about it: { level, title, text }, or null if there is nothing to
// say.

const CREDENTIALS =
  'Put what it asks for in Headers, for example {"authorization": "Bearer ..."}, and run again. ' +
  "The page sends them as HTTP headers and with connection_init.";

const error = (title, text) => ({ level: "error", title, text });
const warning = (title, text) => ({ level: "warning", title, text });

// Codes that end the subscription: trying again would end in the same way.
const FINAL = {
  1002: "The server found an error in the frames of the WebSocket.",
  1003: "The server does not accept such data.",
  1007: "The server received text that is not UTF-8.",
  1008: "The client broke a rule of the server.",
  1009: "A message was larger than the server allows (Limits.max_message_bytes).",
  1011: "The server failed; its log says why.",
  4400: "The server could not read a message.",
  4401: "The server has no accepted client on this connection. Run again.",
  4406: "The server does not speak graphql-transport-ws here (transports=).",
  4409: "The id of the subscription is in use. Run again.",
  4429: "The server received too many messages (Rates). Wait, then run again.",
  4500: "The server failed; its log says why.",
};

// Codes after which the page reconnects.
const PASSING = {
  1001: "The server shuts down or restarts.",
  1005: "The server closed the connection without a code.",
  1006: "The network or the server has gone away.",
  1012: "The server restarts.",
  1013: "The server is full, or results were taken too slowly.",
  1014: "A proxy has lost the server.",
  4408: "The client was not accepted in time (Limits.connection_init_timeout).",
  4499: "The server did not answer a ping.",
};

const RECONNECTS = "The page reconnects, and asks for the events since then.";

// Whether the page should connect again after this code.
export const isPassing = (code) => code in PASSING;

export function explainClose({ code, reason }) {
  const title = reason && code !== 4499 ? `${code}: ${reason}` : `${code}`;
  if (code === 1000) return null;
  if (code === 4403) {
    return reason === "Identity expired"
      ? error(title, `The token has expired. Put a new one in Headers, and run again.`)
      : error(title, `The server refused this client. ${CREDENTIALS}`);
  }
  if (isPassing(code)) return warning(`Connection lost (${title})`, `${PASSING[code]} ${RECONNECTS}`);
  return error(title, FINAL[code] ?? "The server closed the connection. Run again to connect.");
}

// Explains the status of a response to a request of the page; `page` is its URL. A warning may pass by itself.
export function explainStatus(status, message, page) {
  const title = message ? `${status}: ${message}` : `${status}`;
  if (status === 403 && /\borigin\b/.test(message ?? "")) {
    return error(
      title,
      `The server accepts no requests of this page. Add "${page.origin}" to Security(origins=[...]), ` +
        `or "${page.hostname}" to Security(hosts=[...]). A proxy has to pass the Host header on.`,
    );
  }
  if (status === 403 && /\bhost\b/.test(message ?? "")) {
    return error(title, `Add "${page.hostname}" to Security(hosts=[...]), or open the page by a listed name.`);
  }
  if (status === 401 || status === 403) return error(title, `The server refused this client. ${CREDENTIALS}`);
  if (status === 429) return warning(title, "The server counted too many requests (Rates).");
  if (status === 503) return warning(title, "The server is full or shuts down.");
  if (status >= 500) return warning(title, "The server or a proxy failed; its log says why.");
  return null;
}

// A message of the server that is not of the protocol.
export const explainFault = ({ message }) =>
  error("The connection failed", message || "The browser has closed it.");

export const UNREACHED = warning("No connection", "The server cannot be reached.");

// The WebSocket was refused; a request over HTTP at the same URL was accepted, or met nothing.
export const explainHandshake = (isReached) =>
  isReached
    ? warning(
        "The WebSocket was refused",
        "Requests over HTTP are accepted. A proxy has to pass the Upgrade and Connection headers on. " +
          "The page tries again.",
      )
    : { ...UNREACHED, text: `${UNREACHED.text} The page tries again.` };

export const RECONNECTED = {
  level: "info",
  title: "Reconnected",
  text: "The events since then follow.",
};

export const MISSED = warning(
  "Events are missing",
  "The server has restarted, or no longer has them (History).",
);
