import { stripTypeScriptTypes } from "node:module";

/** The text of a file without its types, as Node does it with every file of a clone; that it can be asked for is new, and warned of. */
export function withoutTypes(text: string): string {
  const warnings = Object.getOwnPropertyDescriptor(process, "emitWarning");
  Object.defineProperty(process, "emitWarning", { value: () => undefined, configurable: true });
  try {
    return stripTypeScriptTypes(text);
  } finally {
    if (warnings !== undefined) Object.defineProperty(process, "emitWarning", warnings);
  }
}
