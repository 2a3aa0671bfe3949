/**
 * Imports what others wrote, a plugin or a configuration, and says of a failure where it is: file, line and column, and the lines
 * around. Node says so of some kinds only, and of others to its own standard error.
 */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { messageOf } from "../../core/errors.ts";
import { fieldOf } from "../../core/redact.ts";
import { isError } from "../../core/thrown.ts";
import { type CodePlace, isWithin, placeOf } from "./code-place.ts";
import { type ModuleOwner, inNameOf } from "./module-owner.ts";
import { hookModules } from "./module-hooks.ts";
import { knowOwnName } from "./own-name.ts";
import { findThrownPlace } from "./thrown-place.ts";

const checkTimeoutMs = 5_000;
/** Lines of code shown before the one that matters. */
const linesBefore = 2;
const lineCharactersMax = 160;
const jsonTextMax = 300;

/** Thrown by `importModule`: its message says where and why, with the lines around. */
export class ImportFault extends Error {}

/** Imports the module of an owner, in whose name its timers and promises are from then on. */
export async function importModule(owner: ModuleOwner): Promise<{ readonly default?: unknown }> {
  const { url } = owner;
  let loading = url;
  knowOwnName();
  const stopWatching = hookModules({
    load(next, context, load) {
      loading = next;
      return load(next, context);
    },
  });
  try {
    return (await inNameOf(owner, () => import(url))) as { readonly default?: unknown };
  } catch (error) {
    throw new ImportFault(await explain(error, loading, owner), { cause: error });
  } finally {
    stopWatching();
  }
}

/** What was thrown while a module was loaded. */
async function explain(error: unknown, loading: string, { url, folder }: ModuleOwner): Promise<string> {
  const place =
    placeOfImport(error) ??
    placeAhead(fieldOf(error, "stack")) ??
    placeOf(error, folder) ??
    placeOfSyntax(error, loading) ??
    (await findThrownPlace({ url, folder }));
  const where = place === undefined ? ` (${relative(folder, fileURLToPath(url))})` : placed(place, folder);
  return `${messageOf(error)}${where}${remedy(error)}`;
}

function remedy(error: unknown): string {
  const [, name] = /^Cannot find package '([^']+)'/.exec(messageOf(error)) ?? [];
  return name === undefined ? "" : `\ninstall it where the plugin lies: npm install ${name}`;
}

/** A place in words, with the code there. */
export function placed(place: CodePlace, folder: string): string {
  const file = isWithin(place.file, folder) ? relative(folder, place.file) : place.file;
  return ` (${file}:${place.line}:${place.column})${codeFrame(place)}`;
}

function linesOf(file: string): readonly string[] {
  try {
    return readFileSync(file, "utf8").split(/\r?\n/);
  } catch {
    return [];
  }
}

/** The line and those before it, with a mark below the column. */
function codeFrame({ file, line, column }: CodePlace): string {
  const lines = linesOf(file);
  if (lines[line - 1] === undefined || column > lineCharactersMax) return "";
  const first = Math.max(1, line - linesBefore);
  const width = String(line).length;
  const shown = lines.slice(first - 1, line).map((text, index) => {
    const number = first + index;
    return `${number === line ? ">" : " "} ${String(number).padStart(width)} | ${text.slice(0, lineCharactersMax)}`;
  });
  return `\n${shown.join("\n")}\n  ${" ".repeat(width)} | ${" ".repeat(column - 1)}^`;
}

/** A place as Node writes it ahead of a stack: `file:line`, up to three lines of code, and a mark below where there is one. */
function placeAhead(stack: unknown): CodePlace | undefined {
  if (typeof stack !== "string") return undefined;
  const [, source = "", line, mark = ""] = /^(file:\/\/\S+|(?:\/|[A-Za-z]:\\)[^\n]*?):(\d+)\n(?:(?:[^\n]*\n){1,3}?([ \t]*)\^)?/.exec(stack) ?? [];
  if (line === undefined) return undefined;
  return { file: source.startsWith("file:") ? fileURLToPath(source) : source, line: Number(line), column: mark.length + 1 };
}

/** The import that leads nowhere: Node names the module that has it, and what was not found. */
function placeOfImport(error: unknown): CodePlace | undefined {
  const message = isError(error) ? fieldOf(error, "message") : undefined;
  if (typeof message !== "string") return undefined;
  const [, missing, source] = /'([^']+)'.* imported from (.+?)$/m.exec(message) ?? [];
  if (missing === undefined || source === undefined) return undefined;
  const file = source.startsWith("file:") ? fileURLToPath(source) : source;
  for (const [index, text] of linesOf(file).entries()) {
    for (const match of text.matchAll(/(["'])([^"']+)\1/g)) {
      const named = match[2] ?? "";
      const leads = named === missing || named.startsWith(`${missing}/`) || (named.startsWith(".") && resolve(dirname(file), named) === missing);
      if (leads) return { file, line: index + 1, column: match.index + 1 };
    }
  }
  return { file, line: 1, column: 1 };
}

/** Of a syntax error in JavaScript Node tells the place only on standard error: a check of the file that was loaded last does. */
function placeOfSyntax(error: unknown, loading: string): CodePlace | undefined {
  if (!(error instanceof SyntaxError) || !loading.startsWith("file:")) return undefined;
  const { stderr } = spawnSync(process.execPath, ["--check", fileURLToPath(loading)], {
    encoding: "utf8",
    timeout: checkTimeoutMs,
    stdio: ["ignore", "ignore", "pipe"],
  });
  return placeAhead(stderr);
}

/** Reads a file of JSON; what is wrong with it is reported with line and column. */
export function readJson(file: string, folder: string): unknown {
  const text = readFileSync(file, "utf8");
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new ImportFault(`${messageOf(error, jsonTextMax)}${placed(placeInJson(messageOf(error), text, file), folder)}`, { cause: error });
  }
}

/** V8 names a position, or the token it stumbled over without one, or says that the text ended. */
function placeInJson(message: string, text: string, file: string): CodePlace {
  const [, position] = /at position (\d+)/.exec(message) ?? [];
  const [, token] = /^Unexpected token '([^]+?)'/.exec(message) ?? [];
  const offset = position === undefined ? (token === undefined ? text.trimEnd().length : offsetOfToken(token, text)) : Number(position);
  const before = text.slice(0, offset).split("\n");
  return { file, line: before.length, column: (before.at(-1) ?? "").length + 1 };
}

/** The first place of the token at which what is before it is the beginning of JSON, and with it is not. */
function offsetOfToken(token: string, text: string): number {
  for (let at = text.indexOf(token); at >= 0; at = text.indexOf(token, at + 1)) {
    try {
      JSON.parse(text.slice(0, at + token.length));
    } catch (error) {
      if (messageOf(error).startsWith("Unexpected token")) return at;
    }
  }
  return 0;
}
