// The webhook schemas of @octokit/webhooks-schemas: one document of some 350 definitions, named `issues$opened` for an event
// with an action and `push$event` for one without. A definition is compiled when the first artifact asks for it, which takes
// some milliseconds once a thread; compiling all of them would take a second that most threads never need.
import { createRequire } from "node:module";
import { Ajv, type ValidateFunction } from "ajv";
import formats from "ajv-formats";

const documentId = "webhooks";

export interface Finding {
  /** Where in the artifact, as a JSON Pointer; empty for the artifact itself. */
  readonly path: string;
  readonly expected: string;
}

interface Schemas {
  readonly ajv: Ajv;
  readonly names: ReadonlySet<string>;
}

let loaded: Schemas | undefined;

function load(): Schemas {
  const { definitions } = createRequire(import.meta.url)("@octokit/webhooks-schemas") as { readonly definitions: Readonly<Record<string, object>> };
  // The schemas are published as valid; checking them against the meta-schema again would cost seconds.
  const ajv = new Ajv({ strict: false, validateSchema: false, inlineRefs: false, allErrors: true });
  formats.default(ajv);
  ajv.addSchema({ $id: documentId, definitions });
  return { ajv, names: new Set(Object.keys(definitions)) };
}

function schemas(): Schemas {
  loaded ??= load();
  return loaded;
}

/** Whether there is a schema of this name. */
export function isSchemaName(name: string): boolean {
  return schemas().names.has(name);
}

/** What is wrong with an artifact, at most `findingsMax`; empty when it is valid. The schema must exist. */
export function validate(name: string, artifact: unknown, findingsMax: number): Finding[] {
  const check = schemas().ajv.getSchema(`${documentId}#/definitions/${name}`) as ValidateFunction | undefined;
  if (check === undefined) throw new TypeError(`expected a schema named ${name}; ask isSchemaName first`);
  if (check(artifact)) return [];
  return (check.errors ?? []).slice(0, findingsMax).map((error) => ({ path: error.instancePath, expected: error.message ?? error.keyword }));
}
