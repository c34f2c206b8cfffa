// Shows a page in headless Chromium and prints what it writes to its console.
// Argument: the file of the page. It is shown as a page of the server that its first URL names.
import { readFileSync } from "node:fs";
import { launch } from "./chromium.mjs";

const html = readFileSync(process.argv[2], "utf8");
const origin = new URL(/https?:\/\/[^"'\s]+/.exec(html)[0]).origin;
const browser = await launch();
const page = await browser.newPage();
page.on("console", (message) => process.stdout.write(message.text() + "\n"));
page.on("pageerror", (error) => process.stderr.write(`${error}\n`));
await page.route(`${origin}/`, (route) => route.fulfill({ contentType: "text/html", body: html }));
await page.goto(`${origin}/`);
