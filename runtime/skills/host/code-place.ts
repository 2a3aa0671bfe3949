// Where in a plugin's own code something was thrown, read from the stack. Where the code has a source map, Node has applied it.
import { isAbsolute, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { fieldOf } from "../../core/redact.ts";

export interface CodePlace {
  /** Absolute. */
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** Of a stack, and of a chain of causes, this much is read. */
const stackCharactersMax = 32_000;
const causesMax = 5;

/** The runtime itself: no frame of its own is a plugin's, wherever the plugin lies. */
const runtimeFolder = resolve(import.meta.dirname, "../..");
const framePattern = /^\s+at (?:.*? \()?(?:async )?(.+?):(\d+):(\d+)\)?$/;

function pathOf(source: string): string | undefined {
  if (!source.startsWith("file:")) return isAbsolute(source) ? source : undefined;
  try {
    return fileURLToPath(source);
  } catch {
    return undefined;
  }
}

export function isWithin(path: string, folder: string): boolean {
  const way = relative(folder, path);
  return way !== ".." && !way.startsWith(`..${sep}`) && !isAbsolute(way);
}

/** Whether it is code of the author to whom the folder belongs: not of a package, and not the runtime's. */
export function isOwn(path: string, folder: string): boolean {
  return isWithin(path, folder) && !isWithin(path, runtimeFolder) && !relative(folder, path).split(sep).includes("node_modules");
}

/** The innermost frame in `folder`. */
export function placeInStack(stack: string, folder: string): CodePlace | undefined {
  for (const line of stack.slice(0, stackCharactersMax).split("\n")) {
    const [, source = "", at, column] = framePattern.exec(line) ?? [];
    const file = pathOf(source);
    if (file !== undefined && isOwn(file, folder)) return { file, line: Number(at), column: Number(column) };
  }
  return undefined;
}

/** The innermost frame in `folder`, of the error or of what caused it; undefined when there is none. Never throws. */
export function placeOf(thrown: unknown, folder: string): CodePlace | undefined {
  let error = thrown;
  for (let depth = 0; depth < causesMax && error !== undefined && error !== null; depth += 1) {
    const stack = fieldOf(error, "stack");
    const place = typeof stack === "string" ? placeInStack(stack, folder) : undefined;
    if (place !== undefined) return place;
    error = fieldOf(error, "cause");
  }
  return undefined;
}

/** `file:line:column`, the file relative to `folder`. */
export function placeText({ file, line, column }: CodePlace, folder: string): string {
  return `${relative(folder, file)}:${line}:${column}`;
}
