// What the page keeps for later visits: all that GraphiQL keeps, without headers, which may have tokens.

const PREFIX = "graphiql:";
const LISTS = [`${PREFIX}queries`, `${PREFIX}favorites`]; // of the history, as JSON

const withoutHeaders = (text) =>
  JSON.stringify(JSON.parse(text), (key, value) => (key === "headers" ? undefined : value));

// Wraps `localStorage`; null where the browser refuses it.
export function createStorage() {
  let storage;
  try {
    storage = window.localStorage;
  } catch {
    return null;
  }
  const keys = () => Object.keys(storage).filter((key) => key.startsWith(PREFIX));
  return {
    getItem: (key) => storage.getItem(key),
    setItem: (key, text) => storage.setItem(key, LISTS.includes(key) ? withoutHeaders(text) : text),
    removeItem: (key) => storage.removeItem(key),
    clear: () => keys().forEach((key) => storage.removeItem(key)),
    get length() {
      return keys().length;
    },
  };
}
