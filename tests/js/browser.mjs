// Drives headless Chromium against a server; prints what its page sees, one line of JSON each.
// Arguments: what to do (websocket, compression, eventsource, graphiql), the URL, a query, and for graphiql
// the color scheme and, where one is wanted, the file of a screenshot.
import { launch } from "./chromium.mjs";

const [what, url, query, colorScheme, screenshot] = process.argv.slice(2);
const print = (value) => process.stdout.write(JSON.stringify(value) + "\n");
const browser = await launch();
const viewport = { width: 1200, height: 700 };
const context = await browser.newContext({ colorScheme, viewport });
const page = await context.newPage();
await page.exposeFunction("tell", print);
const foreign = [];
page.on("request", (request) => {
  if (!/^(data|blob):/.test(request.url()) && !request.url().startsWith(new URL(url).origin)) {
    foreign.push(request.url());
  }
});
const refused = [];
page.on("console", (message) => {
  if (message.text().includes("Content Security Policy")) refused.push(message.text());
});
page.on("pageerror", (error) => print({ error: String(error) }));
await page.goto(url);

const uses = {
  websocket: (tellsExtensions = false) =>
    page.evaluate(
      ([url, query, tellsExtensions]) => {
        const socket = new WebSocket(url.replace(/^http/, "ws"), "graphql-transport-ws");
        const send = (message) => socket.send(JSON.stringify(message));
        socket.onopen = () => {
          if (tellsExtensions) window.tell(socket.extensions);
          send({ type: "connection_init" });
        };
        socket.onmessage = ({ data }) => {
          const message = JSON.parse(data);
          if (message.type === "connection_ack") {
            send({ id: "1", type: "subscribe", payload: { query } });
          } else {
            window.tell(message.payload ?? message.type);
          }
        };
        socket.onclose = ({ code, reason }) => window.tell({ code, reason });
      },
      [url, query, tellsExtensions],
    ),
  compression: () => uses.websocket(true),
  eventsource: () =>
    page.evaluate(
      ([url, query]) => {
        const source = new EventSource(`${url}?query=${encodeURIComponent(query)}`);
        source.addEventListener("next", ({ data, lastEventId }) =>
          window.tell({ ...JSON.parse(data), lastEventId }),
        );
        source.addEventListener("complete", ({ data }) => {
          source.close();
          window.tell({ complete: data });
        });
      },
      [url, query],
    ),
  graphiql: async () => {
    await page.goto(`${url}?document=${encodeURIComponent(query)}`);
    await page.getByRole("button", { name: /execute/i }).click();
    const result = page.locator(".result-window .CodeMirror");
    let shown = "";
    for (;;) {
      await page.waitForFunction(
        (shown) => {
          const { CodeMirror } = document.querySelector(".result-window .CodeMirror") ?? {};
          const text = CodeMirror?.getValue() ?? "";
          return text !== shown && text.trim().endsWith("}");
        },
        shown,
        { timeout: 0 },
      );
      shown = await result.evaluate((element) => element.CodeMirror.getValue());
      const background = await page.evaluate(
        () => getComputedStyle(document.querySelector(".graphiql-container")).backgroundColor,
      );
      if (screenshot) await page.screenshot({ path: screenshot });
      print({ result: JSON.parse(shown), background, foreign, refused });
    }
  },
};
await uses[what]();
