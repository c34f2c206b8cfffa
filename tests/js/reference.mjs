// Answers GraphQL requests with graphql-js, as a server would that pushes one event.
// Reads {"cases": [{sdl, document, variables, operationName, value}]} from standard input and
// writes one line of JSON for each case: the result of parse, validate and subscribe or execute.
// Every field of the subscription type has the value; a field named `echo` has its arguments.
// Numbers that JSON does not have are {"$number": "NaN"}.
// {"clients": [{data, sdl}]} and {"queries": true} are answered for introspection, see below.
import { readFileSync } from "node:fs";
import {
  buildClientSchema,
  buildSchema,
  execute,
  getIntrospectionQuery,
  getOperationAST,
  lexicographicSortSchema,
  parse,
  printSchema,
  subscribe,
  validate,
} from "graphql";

const schemas = new Map();

function schemaOf(sdl) {
  if (!schemas.has(sdl)) {
    const schema = buildSchema(sdl);
    const echo = schema.getSubscriptionType()?.getFields().echo;
    if (echo) echo.resolve = (_, args) => args;
    schemas.set(sdl, schema);
  }
  return schemas.get(sdl);
}

function revive(_, value) {
  const isNumber = value !== null && typeof value === "object" && "$number" in value;
  return isNumber ? Number(value.$number) : value;
}

async function answer({ sdl, document, variables, operationName, value }) {
  const schema = schemaOf(sdl);
  let parsed;
  try {
    parsed = parse(document);
  } catch (error) {
    return { errors: [error] };
  }
  let errors;
  try {
    errors = validate(schema, parsed);
  } catch (error) {
    // A rule of graphql-js itself fails, at a condition of a root field.
    errors = [error];
  }
  if (errors.length) return { errors };
  const rootValue = {};
  for (const name of Object.keys(schema.getSubscriptionType()?.getFields() ?? {})) {
    rootValue[name] = value;
  }
  const request = {
    schema,
    document: parsed,
    rootValue,
    variableValues: variables ?? undefined,
    operationName: operationName ?? undefined,
  };
  if (getOperationAST(parsed, operationName)?.operation !== "subscription") {
    return execute(request);
  }
  const results = await subscribe({
    ...request,
    subscribeFieldResolver: async function* () {
      yield rootValue;
    },
  });
  return "next" in results ? (await results.next()).value : results;
}

const { cases, clients, queries } = JSON.parse(readFileSync(0, "utf8"), revive);
const lines = [];
for (const one of cases ?? []) lines.push(JSON.stringify(await answer(one)));
// For each client: the schema that it builds of an introspection result, and the one it should be.
const print = (schema) => printSchema(lexicographicSortSchema(schema));
for (const { data, sdl } of clients ?? []) {
  lines.push(JSON.stringify([print(buildClientSchema(data)), print(buildSchema(sdl))]));
}
if (queries) {
  const options = {
    descriptions: true,
    specifiedByUrl: true,
    directiveIsRepeatable: true,
    schemaDescription: true,
    inputValueDeprecation: true,
  };
  lines.push(JSON.stringify(getIntrospectionQuery({ ...options, oneOf: true })));
  lines.push(JSON.stringify(getIntrospectionQuery()));
}
process.stdout.write(lines.join("\n") + "\n");
