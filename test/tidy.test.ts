// The import directions of the house: each folder may import only what stands below it.
import { strict as assert } from "node:assert";
import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { test } from "node:test";
import { packagesOfTrials } from "#load/dev/packages.ts";

const root = resolve(import.meta.dirname, "..");

/** What each folder may import of the project's own files, the most specific prefix first. A folder may import itself. */
const allowed: readonly (readonly [folder: string, mayImport: readonly string[]])[] = [
  ["runtime/core/", []],
  ["runtime/amqp/", []],
  ["runtime/ports/", ["runtime/core/"]],
  ["runtime/policy/", ["runtime/core/"]],
  ["runtime/pipeline/", ["runtime/core/", "runtime/ports/", "runtime/policy/"]],
  ["runtime/skills/author/", ["runtime/core/"]],
  ["runtime/skills/built-in/", ["runtime/core/", "runtime/skills/author/"]],
  ["runtime/skills/host/", ["runtime/core/", "runtime/ports/", "runtime/policy/", "runtime/skills/author/"]],
  ["runtime/contracts/", ["runtime/core/", "runtime/skills/"]],
  ["runtime/adapters/amqp/", ["runtime/core/", "runtime/ports/", "runtime/amqp/", "runtime/adapters/support/"]],
  ["runtime/adapters/threads/", ["runtime/core/", "runtime/ports/", "runtime/skills/", "runtime/contracts/", "runtime/adapters/support/"]],
  ["runtime/adapters/bullmq/", ["runtime/core/", "runtime/ports/", "runtime/adapters/support/", "runtime/adapters/redis/"]],
  ["runtime/adapters/", ["runtime/core/", "runtime/ports/", "runtime/adapters/support/"]],
  ["runtime/testing/test-worker.ts", ["runtime/", "load/broker/"]],
  ["runtime/testing/", ["runtime/"]],
  ["runtime/postgres/", ["runtime/core/", "runtime/skills/author/"]],
  ["runtime/recovery/", ["runtime/core/", "runtime/ports/", "runtime/policy/", "runtime/pipeline/"]],
  ["runtime/admin/", ["runtime/core/", "runtime/ports/", "runtime/policy/", "runtime/pipeline/", "runtime/recovery/"]],
  [
    "runtime/compose/",
    [
      "runtime/core/",
      "runtime/ports/",
      "runtime/policy/",
      "runtime/pipeline/",
      "runtime/skills/",
      "runtime/contracts/",
      "runtime/recovery/",
      "runtime/admin/",
      "runtime/adapters/",
    ],
  ],
  ["runtime/embed/", ["runtime/"]],
  ["runtime/cli/dev.ts", ["runtime/", "load/dev.ts"]],
  ["runtime/cli/broker.ts", ["runtime/", "load/broker/"]],
  ["runtime/cli/", ["runtime/"]],
  ["runtime/index.ts", ["runtime/core/", "runtime/skills/author/", "runtime/ports/", "runtime/embed/"]],
  ["handlers/", ["runtime/index.ts"]],
  ["load/broker/main.ts", ["load/broker/", "runtime/cli/"]],
  ["load/broker/", ["runtime/amqp/", "runtime/cli/exit-codes.ts"]],
  ["load/", ["runtime/", "handlers/"]],
  ["bench/", ["runtime/", "handlers/", "load/", "test/support/"]],
  ["test/", ["runtime/", "handlers/", "load/", "bench/"]],
];

/** Vendor packages and the one folder that may import each. */
const vendors: readonly (readonly [pattern: RegExp, folder: RegExp])[] = [
  [/^@azure\/service-bus$/, /^(runtime\/adapters\/service-bus|runtime\/cli|load|bench|test)\//],
  [/^bullmq$/, /^(runtime\/adapters\/bullmq|bench\/peers)\//],
  [/^(fastify|jose)$/, /^(runtime\/admin|load\/stand-ins|test)\//],
  [/^@modelcontextprotocol\//, /^(runtime\/admin\/mcp|runtime\/cli|test)\//],
  [/^prom-client$/, /^runtime\/adapters\/telemetry\//],
  [/^@opentelemetry\//, /^(?:runtime\/adapters\/telemetry\/(?:traces|logs)\/|test\/adapters\/span-protobuf\.test\.ts$)/],
  [/^ioredis$/, /^(runtime\/adapters\/(redis|bullmq)|bench|test)\//],
  [/^node:sqlite$/, /^(runtime\/adapters\/sqlite\/|runtime\/testing\/outside-|test\/)/],
  [/^nodemailer$/, /^(runtime\/adapters\/escalation|test)\//],
  [/^piscina$/, /^(runtime\/adapters\/threads|bench|test)\//],
  [/^(pg|@electric-sql\/pglite)$/, /^(bench|test)\//],
  [/^rhea$/, /^(bench|test)\//],
];

const importPattern = /(?:\bfrom\s*|\b(?:import|require|createRequire\(import\.meta\.url\))\s*\(\s*|^import\s*)["']([^"']+)["']/gm;

function importsOf(file: string): string[] {
  const text = readFileSync(join(root, file), "utf8");
  return [...text.matchAll(importPattern)].map((match) => match[1] ?? "");
}

function resolveImport(file: string, specifier: string): string | undefined {
  if (specifier.startsWith("#")) return specifier.slice(1);
  if (specifier.startsWith(".")) return relative(root, resolve(root, dirname(file), specifier));
  return undefined;
}

const sources = globSync("{runtime,handlers,load,bench,test}/**/*.ts", { cwd: root });

test("imports point only down", () => {
  const wrong: string[] = [];
  for (const file of sources) {
    const rule = allowed.find(([folder]) => file.startsWith(folder));
    assert.ok(rule, `expected ${file} to lie in a known folder; add its folder to the table in test/tidy.test.ts`);
    const [folder, mayImport] = rule;
    const own = folder.endsWith("/") ? folder : file;
    const ownPrefix = folder === "runtime/adapters/" || folder === "handlers/" ? file.split("/").slice(0, folder.split("/").length).join("/") + "/" : own;
    for (const specifier of importsOf(file)) {
      const target = resolveImport(file, specifier);
      if (target === undefined || target.startsWith(ownPrefix) || target.endsWith("package.json")) continue;
      if (!mayImport.some((prefix) => target.startsWith(prefix)))
        wrong.push(`${file} imports ${target}; allowed: ${mayImport.join(", ") || "nothing of ours"}`);
    }
  }
  assert.deepEqual(wrong, []);
});

/** The files of each circle of imports, those at run time and of types counted alike. */
function circles(): string[][] {
  const graph = new Map(sources.map((file) => [file, importsOf(file).flatMap((specifier) => resolveImport(file, specifier) ?? [])]));
  const reach = (from: string): Set<string> => {
    const seen = new Set<string>();
    const open = [from];
    for (let file = open.pop(); file !== undefined; file = open.pop()) {
      for (const next of graph.get(file) ?? []) {
        if (seen.has(next)) continue;
        seen.add(next);
        open.push(next);
      }
    }
    return seen;
  };
  const ahead = new Map(sources.map((file) => [file, reach(file)]));
  return sources
    .filter((file) => ahead.get(file)?.has(file) === true)
    .map((file) => sources.filter((other) => ahead.get(file)?.has(other) === true && ahead.get(other)?.has(file) === true));
}

test("no files import each other in a circle, not when they are asked for late either", () => {
  assert.deepEqual(circles(), []);
});

/** A table or sum under any names, written as a plain object: it seems to hold `constructor`, and loses `__proto__`. */
const openRecordPattern = /^.*:\s*(?:Readonly<)?Record<string,[^=\n]*=\s*\{(?!\s*\.\.\.).*$/gm;

test("what is looked up by a name from outside is a map", () => {
  const wrong = sources
    .filter((file) => /^(runtime|handlers|load)\//.test(file))
    .flatMap((file) =>
      [...readFileSync(join(root, file), "utf8").matchAll(openRecordPattern)].map(
        ([line]) => `${file}: ${line.trim()}; use a Map, Object.fromEntries or Object.create(null)`,
      ),
    );
  assert.deepEqual(wrong, []);
});

test("only adapters import a vendor's SDK", () => {
  const wrong: string[] = [];
  for (const file of sources) {
    for (const specifier of importsOf(file)) {
      for (const [pattern, folder] of vendors) {
        if (pattern.test(specifier) && !folder.test(file)) wrong.push(`${file} imports ${specifier}; only ${folder.source} may`);
      }
    }
  }
  assert.deepEqual(wrong, []);
});

test("what is published imports what is installed with it; a trial and a sample, what they check for", () => {
  const { dependencies, optionalDependencies, devDependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as Record<
    string,
    Record<string, string>
  >;
  const installed = new Set(Object.keys({ ...dependencies, ...optionalDependencies }));
  const wrong: string[] = [];
  for (const file of sources.filter((source) => /^(runtime|handlers|load)\//.test(source))) {
    const checkedFor = /^load\/(dev|generator|stand-ins)\//.test(file)
      ? // Without what opens a browser, none is opened.
        [...packagesOfTrials, ...(file === "load/dev/open-page.ts" ? ["open"] : [])]
      : file.startsWith("handlers/artifact-validator/")
        ? ["@octokit/webhooks-schemas"]
        : [];
    for (const specifier of importsOf(file)) {
      const name = /^(?:@[^/]+\/)?[^/]+/.exec(specifier)?.[0] ?? specifier;
      // Comments and templates hold what merely looks like an import.
      const isPackage = /^(?:@[\w-][\w.-]*\/)?[\w-][\w.-]*$/.test(name) && existsSync(join(root, "node_modules", name));
      if (!isPackage || installed.has(name) || checkedFor.includes(name)) continue;
      wrong.push(`${file} imports ${name}; expected it among dependencies, or among those that it checks for`);
    }
  }
  assert.deepEqual(wrong, []);
  assert.deepEqual(
    packagesOfTrials.filter((name) => devDependencies?.[name] === undefined),
    [],
  );
});

test("commands write through runtime/cli/output.ts, which keeps what others print away from their results", () => {
  // Those two are heard before anything is loaded that others wrote.
  const before = new Set(["runtime/cli/output.ts", "runtime/cli/require-node.ts", "runtime/cli/stop-signals.ts"]);
  const wrong = sources.filter(
    (file) => file.startsWith("runtime/cli/") && !before.has(file) && /process\.std(?:out|err)\.write\(|console\./.test(readFileSync(join(root, file), "utf8")),
  );
  assert.deepEqual(wrong, []);
});
