// The webhook schemas of @octokit/webhooks-schemas: one document of some 350 definitions, named `issues$opened` for an event
// with an action and `push$event` for one without. Compiling them takes more than a second, so it is done once: the compiled
// checks are kept as JavaScript beside the installed packages, and each thread loads them from there while it warms up. Where
// nothing can be written, every thread compiles them for itself.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { threadId } from "node:worker_threads";
import { Ajv, type ValidateFunction } from "ajv";
import standalone from "ajv/dist/standalone/index.js";
import formats from "ajv-formats";
import { ConfigurationError } from "#runtime/index.ts";

const documentId = "webhooks";
const schemasPackage = "@octokit/webhooks-schemas";
/** The schemas are published as valid; checking them against the meta-schema again would cost seconds. */
const options = { strict: false, validateSchema: false, inlineRefs: false, allErrors: true, code: { source: true } } as const;
const require = createRequire(import.meta.url);

export interface Finding {
  /** Where in the artifact, as a JSON Pointer; empty for the artifact itself. */
  readonly path: string;
  readonly expected: string;
}

type Checks = ReadonlyMap<string, ValidateFunction>;

let loaded: Checks | undefined;

/** Where the compiled checks are kept: under what they are made from, so that they are never those of other versions. */
function cacheFile(document: string): string {
  const { version } = require("ajv/package.json") as { readonly version: string };
  const key = createHash("sha256").update(document).update(version).update(JSON.stringify(options)).digest("hex").slice(0, 16);
  const modules = join(dirname(require.resolve(schemasPackage)), "..", "..");
  return join(modules, ".cache", "holdfast", `webhook-checks-${key}.cjs`);
}

function compile(document: string): { readonly checks: Checks; readonly source: string } {
  const { definitions } = JSON.parse(document) as { readonly definitions: Readonly<Record<string, object>> };
  const ajv = new Ajv(options);
  formats.default(ajv);
  ajv.addSchema({ $id: documentId, definitions });
  const references = Object.keys(definitions).map((name) => [name, `${documentId}#/definitions/${name}`] as const);
  const checks = new Map(references.map(([name, reference]) => [name, ajv.getSchema(reference) as ValidateFunction]));
  return { checks, source: standalone.default(ajv, Object.fromEntries(references)) };
}

/** A file of its own first, so that whoever looks meanwhile sees all of it or nothing. */
function keep(file: string, source: string): void {
  const unfinished = `${file}.${process.pid}-${threadId}`;
  try {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(unfinished, source);
    renameSync(unfinished, file);
  } catch {
    // A folder that is read-only costs time at each start, no more.
  }
}

/** Undefined where they are not, or cannot be loaded. */
function kept(file: string): Checks | undefined {
  if (!existsSync(file)) return undefined;
  try {
    return new Map(Object.entries(require(file) as Readonly<Record<string, ValidateFunction>>));
  } catch {
    return undefined;
  }
}

/** Not installed with the runtime: of ten megabytes, this sample alone has use. */
function readDocument(): string {
  try {
    return readFileSync(require.resolve(schemasPackage), "utf8");
  } catch (error) {
    throw new ConfigurationError(
      `artifact-validator: expected the package ${schemasPackage}, found none; run \`npm install ${schemasPackage}\` where holdfast is installed`,
      { cause: error },
    );
  }
}

function load(): Checks {
  const document = readDocument();
  const file = cacheFile(document);
  const known = kept(file);
  if (known !== undefined) return known;
  const { checks, source } = compile(document);
  keep(file, source);
  return checks;
}

/** Makes the checks ready; otherwise the first artifact does. */
export function loadSchemas(): Checks {
  loaded ??= load();
  return loaded;
}

/** Uses each check once: V8 compiles it only then, and the first artifacts of a worker would wait for that, one type after the other. */
export function warmUpSchemas(): void {
  for (const check of loadSchemas().values()) check({});
}

/** Whether there is a schema of this name. */
export function isSchemaName(name: string): boolean {
  return loadSchemas().has(name);
}

/** What is wrong with an artifact, at most `findingsMax`; empty when it is valid. The schema must exist. */
export function validate(name: string, artifact: unknown, findingsMax: number): Finding[] {
  const check = loadSchemas().get(name);
  if (check === undefined) throw new TypeError(`expected a schema named ${name}; ask isSchemaName first`);
  if (check(artifact)) return [];
  return (check.errors ?? []).slice(0, findingsMax).map((error) => ({ path: error.instancePath, expected: error.message ?? error.keyword }));
}
