// Opens the page for browsers in headless Chromium; prints what it shows, one line of JSON for each change.
// Arguments: the URL, and as JSON what to do: `headers` to type (text), `run`, `tap` (a row of the list), and
// `phone`, a narrow screen with touch.
import { launch } from "./chromium.mjs";

const [url, options = "{}"] = process.argv.slice(2);
const { headers, run = true, tap, phone = false } = JSON.parse(options);
const screen = phone
  ? { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true }
  : { viewport: { width: 1200, height: 700 } };
const browser = await launch();
const page = await (await browser.newContext(screen)).newPage();
const print = (value) => process.stdout.write(JSON.stringify(value) + "\n");
page.on("pageerror", (error) => print({ error: String(error) }));
await page.exposeFunction("tell", print);
await page.goto(url);
await page.locator(".subs-status").waitFor();

// What a user sees. The rate changes by itself: it is printed, and a change of it alone is not.
await page.evaluate(() => {
  const text = (selector) => document.querySelector(selector)?.innerText ?? null;
  const editor = (selector) => document.querySelector(`${selector} .CodeMirror`)?.CodeMirror.getValue() ?? "";
  const look = () => ({
    query: editor(".graphiql-query-editor"),
    variables: editor(".graphiql-editor-tool .graphiql-editor"),
    result: editor(".result-window"),
    phase: text(".subs-phase"),
    total: parseInt((text(".subs-total") ?? "0").replaceAll(",", "")),
    banner: text(".subs-banner strong"),
    advice: text(".subs-banner p"),
    rows: document.querySelectorAll(".subs-events li").length,
    newest: text(".subs-events li span"),
    chosen: text(".subs-chosen pre"),
    storage: JSON.stringify({ ...localStorage }),
    width: document.documentElement.scrollWidth,
  });
  let shown;
  const compare = () => {
    const value = look();
    const now = JSON.stringify(value);
    if (now !== shown) window.tell({ ...value, rate: text(".subs-rate") });
    shown = now;
    setTimeout(compare, 20);
  };
  compare();
});

const until = (condition) => page.waitForFunction(condition, null, { timeout: 0 });
if (headers) {
  await page.locator('[data-name="headers"]').click();
  const editor = page.locator(".graphiql-editor-tool .graphiql-editor:not(.hidden) .CodeMirror");
  await editor.click();
  await editor.evaluate((element, text) => element.CodeMirror.setValue(text), headers);
}
if (run) {
  // The document is filled in once the schema is known.
  await until(() =>
    /subscription[^]*{/.test(document.querySelector(".graphiql-query-editor .CodeMirror")?.CodeMirror.getValue()),
  );
  const button = page.getByRole("button", { name: /execute/i });
  await (phone ? button.tap() : button.click());
}
if (tap !== undefined) {
  await until(() => document.querySelector(".subs-events li"));
  await page.locator(".subs-events li button").nth(tap).tap();
}
