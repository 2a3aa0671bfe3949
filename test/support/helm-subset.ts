// Renders the chart's templates, which use a small part of Helm's language, and refuses all else: paths into values, `if` and `else`, pipes, and the functions below.
import { createHash } from "node:crypto";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";

interface Scope {
  readonly values: unknown;
  readonly release: string;
}

type Apply = (value: unknown, ...more: readonly unknown[]) => unknown;

const functions: ReadonlyMap<string, Apply> = new Map<string, Apply>([
  ["quote", (value) => JSON.stringify(plain(value))],
  ["toJson", (value) => JSON.stringify(sorted(value))],
  ["sha256sum", (value) => createHash("sha256").update(plain(value)).digest("hex")],
  ["int", (value) => Math.trunc(Number(value))],
  ["add", (value, other) => Number(value) + Number(other)],
  ["mul", (value, other) => Number(value) * Number(other)],
  ["le", (value, other) => Number(value) <= Number(other)],
  ["printf", (format, ...values) => values.reduce((text: string, value) => text.replace("%d", plain(value)), plain(format))],
  [
    "fail",
    (why) => {
      throw new Error(plain(why));
    },
  ],
]);

/** What Helm writes of an object without `toJson` is of no use to YAML. */
function plain(value: unknown): string {
  if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") return String(value);
  throw new Error(`expected a text, a number or a truth value; toJson makes one of ${JSON.stringify(value)}`);
}

/** Go writes maps in the order of their keys. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .toSorted(([one], [other]) => (one < other ? -1 : 1))
      .map(([key, inner]) => [key, sorted(inner)]),
  );
}

function operand(text: string, { values, release }: Scope): unknown {
  if (/^"[^"\\]*"$/.test(text)) return text.slice(1, -1);
  if (text === ".Release.Name") return release;
  if (!/^\.Values(\.[A-Za-z]\w*)+$/.test(text)) throw new Error(`expected a path into values, a text or .Release.Name, found '${text}'`);
  let value = values;
  for (const key of text.split(".").slice(2)) {
    if (typeof value !== "object" || value === null || !(key in value)) throw new Error(`expected '${text}' in the values`);
    value = (value as Readonly<Record<string, unknown>>)[key];
  }
  return value;
}

function evaluate(text: string, scope: Scope): unknown {
  const words = text.match(/"[^"\\]*"|[()|]|[^\s()|]+/g) ?? [];
  const value = piped(words, scope);
  if (words.length > 0) throw new Error(`expected one value, found '${words.join(" ")}' behind it in '${text}'`);
  return value;
}

/** A value and the functions that it goes through; takes its words off the front. */
function piped(words: string[], scope: Scope): unknown {
  let value = called(words, scope);
  while (words[0] === "|") {
    words.shift();
    const name = words.shift() ?? "";
    const apply = functions.get(name);
    if (apply === undefined) throw new Error(`expected one of ${[...functions.keys()].join(", ")}, found '${name}'`);
    value = apply(value);
  }
  return value;
}

function called(words: string[], scope: Scope): unknown {
  const apply = functions.get(words[0] ?? "");
  if (apply === undefined) return one(words, scope);
  words.shift();
  const values: unknown[] = [];
  while (words.length > 0 && words[0] !== ")" && words[0] !== "|") values.push(one(words, scope));
  return apply(values[0], ...values.slice(1));
}

function one(words: string[], scope: Scope): unknown {
  const word = words.shift() ?? "";
  if (word !== "(") return /^\d+$/.test(word) ? Number(word) : operand(word, scope);
  const value = piped(words, scope);
  if (words.shift() !== ")") throw new Error("expected ')' after '('");
  return value;
}

/** An empty text, 0 and false are no. */
function isTrue(value: unknown): boolean {
  if (typeof value === "object" && value !== null) return Object.keys(value).length > 0;
  return value !== "" && value !== 0 && value !== false && value !== null;
}

export function renderTemplate(template: string, scope: Scope): string {
  const open: { shows: boolean; taken: boolean; above: boolean }[] = [];
  let text = "";
  let rest = template;
  const shows = (): boolean => open.at(-1)?.shows ?? true;
  for (let found = /\{\{(-?)\s*((?:"[^"]*"|[^}"])*?)\s*\}\}/.exec(rest); found !== null; found = /\{\{(-?)\s*((?:"[^"]*"|[^}"])*?)\s*\}\}/.exec(rest)) {
    const [whole, trims, action = ""] = found;
    const before = rest.slice(0, found.index);
    if (shows()) text += trims === "" ? before : before.trimEnd();
    rest = rest.slice(found.index + whole.length);
    const condition = /^if (.+)$/.exec(action)?.[1];
    if (condition !== undefined) {
      const taken = isTrue(evaluate(condition, scope));
      open.push({ shows: shows() && taken, taken, above: shows() });
    } else if (action === "else") {
      const block = open.at(-1);
      if (block === undefined) throw new Error("expected 'else' within 'if'");
      block.shows = block.above && !block.taken;
    } else if (action === "end") {
      if (open.pop() === undefined) throw new Error("expected 'end' after 'if'");
    } else if (shows()) {
      text += plain(evaluate(action, scope));
    }
  }
  if (open.length > 0) throw new Error("expected 'end' for each 'if'");
  if (rest.includes("{{")) throw new Error(`expected an action that is known, found ${rest.slice(rest.indexOf("{{"), rest.indexOf("{{") + 60)}`);
  return text + rest;
}

/** All templates of a chart, as one text of documents. */
export function renderChart(folder: string, scope: Scope): string {
  const files = globSync("templates/*.yaml", { cwd: folder }).sort();
  return files.map((file) => renderTemplate(readFileSync(join(folder, file), "utf8"), scope)).join("\n---\n");
}
