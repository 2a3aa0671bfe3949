// What deploy/ renders to, and whether Kubernetes would take it.
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseAllDocuments } from "yaml";

export const deployFolder: string = resolve(import.meta.dirname, "../../deploy");
const require = createRequire(import.meta.url);

export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly [key: string]: unknown;
}

export interface Model {
  validate(): void;
}

export const hasKubectl: boolean = spawnSync("kubectl", ["version", "--client"]).status === 0;

/** Kustomize breaks long values in lines, which base64 takes. */
function unwrapped(data: Readonly<Record<string, string>>): object {
  return Object.fromEntries(Object.entries(data).map(([key, value]) => [key, value.replaceAll(/\s/g, "")]));
}

export function manifestsIn(text: string): readonly Manifest[] {
  return parseAllDocuments(text).flatMap((document) => {
    if (document.errors.length > 0) throw document.errors[0];
    const value = document.toJS() as Manifest | null;
    return value === null ? [] : [value.kind === "Secret" ? { ...value, data: unwrapped(value["data"] as Readonly<Record<string, string>>) } : value];
  });
}

export function kustomize(overlay: string): readonly Manifest[] {
  const { status, stdout, stderr } = spawnSync("kubectl", ["kustomize", join(deployFolder, "kustomize/overlays", overlay)], { encoding: "utf8" });
  if (status !== 0) throw new Error(`expected the overlay '${overlay}' to render, found ${stderr}`);
  return manifestsIn(stdout);
}

export function find(manifests: readonly Manifest[], kind: string): Manifest {
  const found = manifests.find((one) => one.kind === kind);
  if (found === undefined) throw new Error(`expected a ${kind}, found ${manifests.map((one) => one.kind).join(", ")}`);
  return found;
}

/** The value at a path of keys and indices; undefined where there is none. */
export function at(value: unknown, ...path: readonly (string | number)[]): unknown {
  return path.reduce<unknown>((within, key) => (within as Readonly<Record<string | number, unknown>> | undefined)?.[key], value);
}

/** Kinds of others that no package has schemas of. */
export const kindsWithoutSchema: ReadonlySet<string> = new Set(["Rollout", "AnalysisTemplate", "PodMonitor", "Application"]);

function modelOf({ apiVersion, kind }: Manifest): new (data: unknown) => Model {
  const library = apiVersion.startsWith("keda.sh/") ? "@kubernetes-models/keda" : "kubernetes-models";
  const models = require(fileURLToPath(import.meta.resolve(`${library}/${apiVersion}`))) as Readonly<Record<string, new (data: unknown) => Model>>;
  const model = models[kind];
  if (model === undefined) throw new Error(`expected a schema of ${apiVersion} ${kind}, found none`);
  return model;
}

function problemOf(manifest: Manifest, value: unknown): string | undefined {
  try {
    new (modelOf(manifest))(value).validate();
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/** A key that takes what no key can hold is one that the schema does not know: the schemas let those pass. */
const nothing: unique symbol = Symbol("what no key can hold");

function keyPaths(value: unknown, path: readonly (string | number)[] = []): (readonly (string | number)[])[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => {
    const here = [...path, Array.isArray(value) ? Number(key) : key];
    return [...(Array.isArray(value) ? [] : [here]), ...keyPaths(inner, here)];
  });
}

function replaced(value: unknown, [key, ...rest]: readonly (string | number)[], by: unknown): unknown {
  if (key === undefined) return by;
  if (Array.isArray(value)) return value.map((one, index) => (index === key ? replaced(one, rest, by) : (one as unknown)));
  return { ...(value as object), [key]: replaced((value as Readonly<Record<string, unknown>>)[key], rest, by) };
}

/** What Kubernetes would refuse of it, or drop without an answer; empty where that is nothing. */
export function complaintsOf(manifest: Manifest): readonly string[] {
  const name = `${manifest.kind} ${manifest.metadata.name}`;
  const problem = problemOf(manifest, manifest);
  if (problem !== undefined) return [`${name}: ${problem}`];
  return keyPaths(manifest)
    .filter((path) => problemOf(manifest, replaced(manifest, path, nothing)) === undefined)
    .map((path) => `${name}: unknown key ${path.join(".")}`);
}

const unitsBytes: Readonly<Record<string, number>> = { Ki: 1024, Mi: 1024 ** 2, Gi: 1024 ** 3 };

/** Of CPU in cores, of memory in bytes. */
export function quantity(text: string): number {
  const [, number = "", unit = ""] = /^(\d+(?:\.\d+)?)(m|Ki|Mi|Gi)?$/.exec(text) ?? [];
  return Number(number) * (unit === "m" ? 0.001 : (unitsBytes[unit] ?? 1));
}
