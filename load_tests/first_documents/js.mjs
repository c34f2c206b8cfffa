// What graphql-js takes to parse and validate a document: `node js.mjs CORPUS.json SECONDS`.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

// The packages of the comparison.
const require = createRequire(new URL("../compare/package.json", import.meta.url));
const { buildSchema, parse, validate } = require("graphql");

const { sdl, documents } = JSON.parse(readFileSync(process.argv[2], "utf8"));
const seconds = Number(process.argv[3]);
const schema = buildSchema(sdl);

/** CPU time of the process (microseconds). */
function cpu() {
  const { user, system } = process.cpuUsage();
  return user + system;
}

/** CPU time of one call, of as many as take this time (microseconds). */
function cost(seconds, work) {
  const started = cpu();
  for (let calls = 0; ; ) {
    for (let left = 20; left > 0; left -= 1) work((calls += 1));
    const used = cpu() - started;
    if (used > seconds * 1e6) return used / calls;
  }
}

const costs = {};
for (const { name, text } of documents) {
  const work = (number) => {
    const errors = validate(schema, parse(text.replace("NUMBER", number)));
    if (errors.length > 0) throw errors[0];
  };
  cost(seconds / 2, work); // Until the functions are compiled.
  costs[name] = { first: cost(seconds, work) };
}
console.log(JSON.stringify(costs));
