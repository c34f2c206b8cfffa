// Opens a page in headless Chromium, and prints the items of its list as a line of JSON whenever they
// change. A line of input reloads the page. Arguments: the URL.
import { createInterface } from "node:readline";
import { launch } from "./chromium.mjs";

const [url] = process.argv.slice(2);
const browser = await launch();
const page = await browser.newPage();
await page.exposeFunction("tell", (items) => process.stdout.write(JSON.stringify(items) + "\n"));
page.on("pageerror", (error) => process.stdout.write(JSON.stringify({ error: String(error) }) + "\n"));
await page.addInitScript(() => {
  document.addEventListener("DOMContentLoaded", () => {
    const list = document.querySelector("ul");
    const tell = () => window.tell([...list.children].map((line) => line.textContent));
    new MutationObserver(tell).observe(list, { childList: true });
  });
});
await page.goto(url);
for await (const _ of createInterface({ input: process.stdin })) await page.reload();
