// Bundles the page of a folder and shows it in headless Chromium, from a server whose path /token
// hands out t1, t2 and so on. Prints the text of the page as JSON, at each change.
// Argument: the folder with main.jsx.
import { createServer } from "node:http";
import { build } from "esbuild";
import { launch } from "./chromium.mjs";

const [folder] = process.argv.slice(2);
const { outputFiles } = await build({
  entryPoints: [`${folder}/main.jsx`],
  bundle: true,
  write: false,
  jsx: "automatic",
  loader: { ".js": "jsx" },
  define: { "process.env.NODE_ENV": '"production"', __DEV__: "false", global: "globalThis" },
});
const watch = `
  const root = document.querySelector("#root");
  new MutationObserver(() => console.log(JSON.stringify(root.textContent.trim()))).observe(root, {
    childList: true, characterData: true, subtree: true,
  });`;
const script = (code) => `<script>${code.replaceAll("</script", "<\\/script")}</script>`;
const html = `<!doctype html><div id="root"></div>${script(watch)}${script(outputFiles[0].text)}`;

let tokens = 0;
const server = createServer(({ url }, response) => {
  if (url === "/token") response.end(`t${(tokens += 1)}`);
  else if (url === "/") response.setHeader("content-type", "text/html").end(html);
  else response.writeHead(204).end();
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));

const browser = await launch();
const page = await browser.newPage();
// Pauses before a reconnect have nearly their least length.
await page.addInitScript(() => {
  let number = 0;
  Math.random = () => (number += 1e-6);
});
page.on("console", (message) => {
  const out = message.type() === "log" ? process.stdout : process.stderr;
  out.write(message.text() + "\n");
});
page.on("pageerror", (error) => process.stderr.write(`${error}\n`));
await page.goto(`http://127.0.0.1:${server.address().port}/`);
