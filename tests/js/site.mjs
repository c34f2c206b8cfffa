// Reads the documentation site in headless Chromium, and prints one line of JSON with what it saw.
// Argument: the URL of the site. Requests to other hosts are refused, and told.
import { launch } from "./chromium.mjs";

const [site] = process.argv.slice(2);
const browser = await launch();
const context = await browser.newContext({ colorScheme: "dark" });
const foreign = [];
const missing = [];
const errors = [];
await context.route("**/*", (route) => {
  const url = route.request().url();
  if (url.startsWith(site) || /^(data|blob):/.test(url)) return route.continue();
  foreign.push(url);
  return route.abort();
});
const page = await context.newPage();
page.on("pageerror", (error) => errors.push(String(error)));
page.on("response", (response) => {
  if (response.status() >= 400) missing.push(response.url());
});

const scheme = () => page.evaluate(() => document.body.getAttribute("data-md-color-scheme"));
const texts = (selector) => page.locator(selector).allInnerTexts();

await page.goto(`${site}/index.html`);
const title = await page.title();
const dark = await scheme();
const sections = await texts(".md-tabs__item");
await page.emulateMedia({ colorScheme: "light" });
await page.waitForFunction(
  () => document.body.getAttribute("data-md-color-scheme") === "default",
);
const light = await scheme();

await page.goto(`${site}/explanation/concepts.html`);
// The theme draws a diagram in a closed shadow root, so only its place can be measured.
await page.waitForFunction(
  () => document.querySelector("div.mermaid")?.getBoundingClientRect().height > 100,
);

await page.goto(`${site}/tutorials/first-subscription.html`);
const files = await texts("span.filename");
const text = await page.locator("article").innerText();

await page.goto(`${site}/index.html`);
await page.locator(".md-search__input").click();
await page.locator(".md-search__input").pressSequentially("permessage-deflate");
await page.locator(".md-search-result__link").first().waitFor();
const found = await texts(".md-search-result__link h1");

process.stdout.write(
  JSON.stringify({ title, dark, light, sections, files, text, found, foreign, missing, errors }) + "\n",
);
await browser.close();
