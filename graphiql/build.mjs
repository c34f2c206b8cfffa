// Makes one file of GraphiQL and all it needs. Argument: where to write it.
import { writeFile } from "node:fs/promises";
import { build } from "esbuild";

const { outputFiles } = await build({
  entryPoints: ["src/main.jsx"],
  bundle: true,
  minify: true,
  format: "iife",
  target: "es2022",
  jsx: "automatic",
  define: { "process.env.NODE_ENV": '"production"' },
  loader: { ".woff": "dataurl", ".woff2": "dataurl", ".ttf": "dataurl" },
  legalComments: "none",
  outdir: "out",
  write: false,
});
const text = (suffix) => outputFiles.find((file) => file.path.endsWith(suffix)).text;
// No fonts: compressed, they are 270 KB. Those of the system do as well.
const styles = text(".css").replace(/@font-face\{[^}]*\}/g, "");
// A string of the script must not end its element.
const script = text(".js").replaceAll("</script", "<\\/script").replaceAll("<!--", "<\\!--");
const page = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>GraphiQL</title>
<link rel="icon" href="data:,">
<style>${styles}</style>
<style>html, body, #graphiql { height: 100%; margin: 0; }</style>
</head>
<body>
<div id="graphiql"></div>
<script>${script}</script>
</body>
</html>
`;
await writeFile(process.argv[2], page);
