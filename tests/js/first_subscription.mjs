// Prints the document that the page for browsers opens with, for each schema; null where it has none.
// Arguments: schemas (SDL).
import { buildSchema, parse, validate } from "../../graphiql/node_modules/graphql/index.js";
import { firstSubscription } from "../../graphiql/src/first_subscription.js";

for (const sdl of process.argv.slice(2)) {
  const schema = buildSchema(sdl);
  const first = firstSubscription(schema);
  const errors = first ? validate(schema, parse(first.query)).map(String) : [];
  process.stdout.write(JSON.stringify(first && { ...first, errors }) + "\n");
}
