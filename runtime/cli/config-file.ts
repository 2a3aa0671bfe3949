/** Reads a configuration file: a module, JSON or YAML; what is wrong in it is named with line and column. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname } from "node:path";
import { pathToFileURL } from "node:url";
import type * as Yaml from "yaml";
import { ConfigurationError, messageOf } from "../core/errors.ts";
import { ImportFault, importModule, placed, readJson } from "../skills/host/import-module.ts";

/** In the order in which they are looked for. */
export const usualNames: readonly string[] = ["ts", "mjs", "js", "json", "yaml", "yml"].map((ending) => `holdfast.config.${ending}`);

/** A failed import is shown with the code around it. */
const messageMax = 4_000;

export interface ConfigFile {
  readonly input: unknown;
  /** `FILE:LINE:COLUMN` of a key, or of what is around it; undefined for a module, of which only its value is known. */
  readonly placeOf: (path: readonly string[]) => string | undefined;
}

export async function readConfigFile(file: string): Promise<ConfigFile> {
  try {
    if (/\.ya?ml$/.test(file)) return readYaml(file);
    if (file.endsWith(".json")) return { input: readJson(file, dirname(file)), placeOf: (path) => placeIn(parseYaml(file), file, path) };
    const module = await importModule({ name: `configuration ${basename(file)}`, url: pathToFileURL(file).href, folder: dirname(file) });
    if (module.default === undefined) throw new ConfigurationError("expected a default export made by defineConfig({ … }), found none");
    return { input: module.default, placeOf: () => undefined };
  } catch (error) {
    throw new ConfigurationError(`${file}: ${messageOf(error, messageMax)}`, { cause: error });
  }
}

interface Parsed {
  readonly document: Yaml.Document.Parsed;
  readonly lines: Yaml.LineCounter;
}

/** JSON is YAML as well. The library is loaded with the first file that needs it. */
function parseYaml(file: string): Parsed {
  const library = createRequire(import.meta.url)("yaml") as typeof Yaml;
  const lines = new library.LineCounter();
  return { document: library.parseDocument(readFileSync(file, "utf8"), { lineCounter: lines, prettyErrors: false }), lines };
}

function readYaml(file: string): ConfigFile {
  const parsed = parseYaml(file);
  const [wrong] = [...parsed.document.errors, ...parsed.document.warnings];
  if (wrong !== undefined) {
    const { line, col } = parsed.lines.linePos(wrong.pos[0]);
    throw new ImportFault(`${wrong.message}${placed({ file, line, column: col }, dirname(file))}`, { cause: wrong });
  }
  return { input: parsed.document.toJS() as unknown, placeOf: (path) => placeIn(parsed, file, path) };
}

/** Where a key stands, which shows what is meant better than its value does. */
function placeIn({ document, lines }: Parsed, file: string, path: readonly string[]): string | undefined {
  let offset: number | undefined;
  let node: unknown = document.contents;
  for (const key of path) {
    const items: readonly unknown[] = isCollection(node) ? node.items : [];
    const pair = items.find((item) => isPair(item) && keyOf(item.key) === key);
    const next = pair === undefined ? (/^\d+$/.test(key) ? items[Number(key)] : undefined) : (pair as Pair).key;
    if (!isNode(next)) break;
    offset = next.range?.[0] ?? offset;
    node = pair === undefined ? next : (pair as Pair).value;
  }
  if (offset === undefined) return undefined;
  const { line, col } = lines.linePos(offset);
  return `${basename(file)}:${line}:${col}`;
}

interface Pair {
  readonly key: unknown;
  readonly value: unknown;
}

function isPair(value: unknown): value is Pair {
  return typeof value === "object" && value !== null && "key" in value && "value" in value;
}

function isCollection(value: unknown): value is { readonly items: readonly unknown[] } {
  return typeof value === "object" && value !== null && "items" in value && Array.isArray(value.items);
}

function isNode(value: unknown): value is { readonly range?: readonly [number, number, number] | null | undefined } {
  return typeof value === "object" && value !== null && "range" in value;
}

function keyOf(key: unknown): unknown {
  return typeof key === "object" && key !== null && "value" in key ? String(key.value) : key;
}
