// Fills the editors with the first subscription of the schema, once the schema is known.
import { useEditorContext, useSchemaContext, useStorageContext } from "@graphiql/react";
import { useEffect, useRef } from "react";
import { firstSubscription } from "./first_subscription.js";

export const WELCOME = `# Welcome. Ctrl-Space completes, Ctrl-Enter runs; the book on the left is the schema.
# A subscription goes on until you stop it.
`;
const HINT = "# Run it with the button.\n";
const FILLED = "subs:filled"; // where the storage of the page has what was filled in
const PAUSE = 800; // milliseconds without a key before new headers are tried

export function Opening({ isGiven }) {
  const { queryEditor, variableEditor, headerEditor, responseEditor } = useEditorContext({
    nonNull: true,
  });
  const { schema, introspect } = useSchemaContext({ nonNull: true });
  const storage = useStorageContext();

  useEffect(() => {
    if (!schema || !queryEditor || !variableEditor || isGiven) return;
    // What somebody has written stays. What an earlier visit filled in may be of another schema.
    const text = queryEditor.getValue();
    if (text.trim() && text !== WELCOME && text !== storage?.get(FILLED)) return;
    const first = firstSubscription(schema);
    if (!first) return;
    const filled = `${HINT}${first.query}\n`;
    if (text === filled) return;
    queryEditor.setValue(filled);
    responseEditor?.setValue(""); // It may show why introspection was refused before.
    storage?.set(FILLED, filled);
    const isNeeded = Object.keys(first.variables).length > 0;
    variableEditor.setValue(isNeeded ? JSON.stringify(first.variables, null, 2) : "");
    if (isNeeded) showVariables();
  }, [schema, queryEditor, variableEditor, responseEditor, storage, isGiven]);

  // A server that refused introspection is asked again when the headers have changed.
  const latest = useRef(introspect); // another function after each change of the headers
  latest.current = introspect;
  const isKnown = Boolean(schema);
  useEffect(() => {
    if (isKnown || !headerEditor) return;
    let timer;
    const later = () => {
      clearTimeout(timer);
      timer = setTimeout(() => isObject(headerEditor.getValue()) && latest.current(), PAUSE);
    };
    headerEditor.on("change", later);
    return () => {
      clearTimeout(timer);
      headerEditor.off("change", later);
    };
  }, [isKnown, headerEditor]);

  return null;
}

// GraphiQL keeps to itself whether this editor is shown; its button opens it.
function showVariables() {
  document.querySelector('.graphiql-editor-tools [data-name="variables"]:not(.active)')?.click();
}

function isObject(text) {
  try {
    return typeof JSON.parse(text) === "object";
  } catch {
    return false;
  }
}
