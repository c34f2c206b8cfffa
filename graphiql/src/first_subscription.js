// Writes a document for the first subscription of a schema, with the variables that it needs.
import {
  getNamedType,
  getNullableType,
  isAbstractType,
  isEnumType,
  isInputObjectType,
  isLeafType,
  isListType,
  isRequiredArgument,
  isRequiredInputField,
  parse,
  validate,
} from "graphql";

const LEVELS = 3; // of selections below the subscription
const FIELDS = 30; // of the whole document
const NAMES = 5; // of fields in a note
const LINE = 40; // characters of arguments, past which each has a line of its own
const MEMBERS = 3; // of a union or interface, each with its own fields

// Returns { query, variables }, or null for a schema without subscriptions.
export function firstSubscription(schema) {
  const fields = Object.values(schema.getSubscriptionType()?.getFields() ?? {});
  const field = fields.find((field) => !field.deprecationReason) ?? fields[0];
  if (!field) return null;
  const needed = field.args.filter(isRequiredArgument);
  const empty = new Set();
  const variables = Object.fromEntries(needed.map(({ name, type }) => [name, example(type, empty)]));
  const notes = [...empty].map(note).join("");
  // Fields of two members may contradict each other: then `__typename` is all that is asked of them.
  for (const members of [MEMBERS, 0]) {
    const query = notes + write(field, needed, select(field.type, { schema, members, left: FIELDS }));
    if (!validate(schema, parse(query)).length) return { query, variables };
  }
  return null;
}

function write({ name }, needed, selection) {
  const join = (items) => {
    const line = items.join(", ");
    if (line.length > LINE) return `(\n${indent(items.join("\n"))}\n)`;
    return line && `(${line})`;
  };
  const defined = join(needed.map(({ name, type }) => `$${name}: ${type}`));
  const passed = join(needed.map(({ name }) => `${name}: $${name}`));
  const title = name[0].toUpperCase() + name.slice(1);
  return `subscription ${title}${defined} {\n${indent(`${name}${passed}${selection}`)}\n}`;
}

// Returns the selection of a type with its braces: "" for a scalar, null if there is nothing to select.
function select(wrapped, bounds, levels = LEVELS) {
  const type = getNamedType(wrapped);
  if (isLeafType(type)) return "";
  if (levels === 0) return null;
  const lines = fieldsOf(type, bounds, levels);
  if (isAbstractType(type)) {
    lines.unshift("__typename");
    for (const member of bounds.schema.getPossibleTypes(type).slice(0, bounds.members)) {
      const inherited = Object.keys(type.getFields?.() ?? {});
      const own = fieldsOf(member, bounds, levels, inherited);
      if (own.length) lines.push(`... on ${member}${block(own)}`);
    }
  }
  return block(lines.length ? lines : ["__typename"]);
}

function fieldsOf(type, bounds, levels, excluded = []) {
  const lines = [];
  for (const field of Object.values(type.getFields?.() ?? {})) {
    if (bounds.left === 0) break;
    const isAsked =
      !field.deprecationReason && !field.args.some(isRequiredArgument) && !excluded.includes(field.name);
    if (!isAsked) continue;
    bounds.left -= 1;
    const selection = select(field.type, bounds, levels - 1);
    if (selection === null) {
      bounds.left += 1;
    } else {
      lines.push(field.name + selection);
    }
  }
  return lines;
}

const block = (lines) => ` {\n${indent(lines.join("\n"))}\n}`;
const indent = (text) => text.replace(/^/gm, "  ");

const EXAMPLES = {
  Int: 1,
  Float: 1.5,
  String: "text",
  Boolean: true,
  ID: "1",
  DateTime: "2026-01-01T12:00:00Z",
  Date: "2026-01-01",
  Time: "12:00:00",
  Decimal: "1.50",
  UUID: "00000000-0000-4000-8000-000000000000",
  JSON: {},
};

// Returns a value that the type accepts; of a scalar that the server defines, a guess.
// Adds to `empty` the types of objects that it leaves empty.
function example(wrapped, empty, above = []) {
  const type = getNullableType(wrapped);
  // A list may be empty: an object that contains itself has to end somewhere.
  if (isListType(type)) {
    return above.includes(getNamedType(type)) ? [] : [example(type.ofType, empty, above)];
  }
  if (isEnumType(type)) return type.getValues()[0].name;
  if (!isInputObjectType(type)) return EXAMPLES[type.name] ?? "text";
  const needed = Object.values(type.getFields()).filter(isRequiredInputField);
  if (!needed.length) empty.add(type);
  const pairs = needed.map(({ name, type: of }) => [name, example(of, empty, [...above, type])]);
  return Object.fromEntries(pairs);
}

// The server may want a field all the same. Whether a type is `@oneOf` it does not tell.
function note(type) {
  const names = Object.keys(type.getFields());
  const listed = [...names.slice(0, NAMES), ...(names.length > NAMES ? ["..."] : [])].join(", ");
  return `# ${type} is empty in the variables. It may need a field: ${listed}\n`;
}
