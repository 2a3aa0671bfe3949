// What is installed is there for a reason, under a licence that may be, and does nothing by being installed.
import { strict as assert } from "node:assert";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { readDocument, root } from "../support/markdown.ts";

interface Locked {
  readonly version: string;
  readonly license?: string;
  readonly integrity?: string;
  readonly dev?: boolean;
  readonly devOptional?: boolean;
  readonly optional?: boolean;
  readonly hasInstallScript?: boolean;
}

const json = (name: string): unknown => JSON.parse(readFileSync(join(root, name), "utf8")) as unknown;
const manifest = json("package.json") as Readonly<Record<"dependencies" | "optionalDependencies" | "devDependencies", Readonly<Record<string, string>>>> & {
  readonly allowScripts: Readonly<Record<string, boolean>>;
};
const { packages } = json("package-lock.json") as { readonly packages: Readonly<Record<string, Locked>> };
const locked = Object.entries(packages).filter(([folder]) => folder !== "");
const ofWorkers = locked.filter(([, { dev, devOptional }]) => dev !== true && devOptional !== true);
const document = readDocument("DEPENDENCIES.md");

function rowsOf(heading: string): readonly (readonly [name: string, licence: string, why: string])[] {
  const [, section = ""] = document.split(`## ${heading}\n`);
  return [...(section.split("\n## ")[0] ?? "").matchAll(/^\| `([^`]+)` \| ([^|]+) \| ([^|]+) \|$/gm)].map(([, name = "", licence = "", why = ""]) => [
    name,
    licence,
    why,
  ]);
}

for (const [heading, kind] of [
  ["In a worker", "dependencies"],
  ["Optional", "optionalDependencies"],
  ["For development", "devDependencies"],
] as const) {
  test(`each of the ${kind} has its reason and its licence in DEPENDENCIES.md, in one line, and nothing else has`, () => {
    const rows = rowsOf(heading);
    assert.deepEqual(
      rows.map(([name]) => name),
      Object.keys(manifest[kind]).toSorted(),
      `expected a row for each under '${heading}', in alphabetical order`,
    );
    for (const [name, licence, why] of rows) {
      assert.equal(licence, packages[`node_modules/${name}`]?.license, name);
      assert.ok(why.length >= 8 && why.length <= 120, `${name}: ${why}`);
    }
  });
}

test("every package has a licence that DEPENDENCIES.md allows where it is", () => {
  const [, forWorkers = "", forDevelopment = ""] =
    /^Licences that may be in a worker: ([^.]*(?:\.\d[^.]*)*)\. For development (.*) as well\.$/m.exec(document) ?? [];
  const listed = (text: string): readonly string[] => text.split(/, | and /);
  const allowed = new Set(listed(forWorkers));
  const allowedHere = new Set([...allowed, ...listed(forDevelopment)]);
  assert.ok(allowed.size >= 8 && allowedHere.size > allowed.size);
  const wrong = (all: typeof locked, among: ReadonlySet<string>): readonly string[] =>
    all.filter(([, { license }]) => !among.has(license ?? "none")).map(([folder, { license }]) => `${folder}: ${license ?? "none"}`);
  assert.deepEqual(wrong(ofWorkers, allowed), []);
  assert.deepEqual(wrong(locked, allowedHere), []);
});

test("install scripts run by name alone, and every name is of a package that has one", () => {
  const having = new Set(
    locked.filter(([, { hasInstallScript }]) => hasInstallScript === true).map(([folder]) => folder.slice(folder.lastIndexOf("node_modules/") + 13)),
  );
  assert.deepEqual([...having].toSorted(), Object.keys(manifest.allowScripts).toSorted());
  const dockerfile = readFileSync(join(root, "deploy/Dockerfile"), "utf8");
  for (const [line] of dockerfile.matchAll(/npm (?:install|prune)[^\\\n]*/g)) assert.match(line, /--ignore-scripts/);
});

test("every package of the lock file is held by a hash", () => {
  assert.deepEqual(
    locked.filter(([, { integrity }]) => integrity?.startsWith("sha512-") !== true).map(([folder]) => folder),
    [],
  );
});

interface Component {
  readonly "bom-ref": string;
  readonly name: string;
  readonly group?: string;
  readonly version: string;
  readonly purl: string;
  readonly hashes: readonly { readonly alg: string; readonly content: string }[];
  readonly licenses: readonly unknown[];
}

interface Bom {
  readonly bomFormat: string;
  readonly specVersion: string;
  readonly serialNumber: string;
  readonly metadata: { readonly component: Pick<Component, "bom-ref" | "version"> };
  readonly components: readonly Component[];
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn: readonly string[] }[];
}

function sbom(): string {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(root, ".ci/sbom.mjs")], { encoding: "utf8", maxBuffer: 64 * 1024 * 1024 });
  assert.equal(status, 0, stderr);
  return stdout;
}

test("the SBOM names every package of a worker with version, hash and licence, and what needs it", () => {
  const text = sbom();
  assert.equal(text, sbom(), "the same lock file makes the same document");
  const { bomFormat, specVersion, serialNumber, metadata, components, dependencies } = JSON.parse(text) as Bom;
  assert.deepEqual([bomFormat, specVersion], ["CycloneDX", "1.6"]);
  assert.match(serialNumber, /^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  const listed = new Set(components.map((one) => one["bom-ref"].split("#")[1] ?? ""));
  const [needed, all] = [ofWorkers.filter(([, { optional }]) => optional !== true), new Set(ofWorkers.map(([folder]) => folder))];
  assert.deepEqual(
    needed.filter(([folder]) => !listed.has(folder)),
    [],
  );
  assert.deepEqual(
    [...listed].filter((folder) => !all.has(folder)),
    [],
  );
  for (const { purl, hashes, licenses, name, group, version } of components) {
    assert.equal(purl, `pkg:npm/${group === undefined ? "" : `${group.replace("@", "%40")}/`}${name}@${version}`);
    assert.deepEqual([hashes.length, hashes[0]?.alg, hashes[0]?.content.length, licenses.length], [1, "SHA-512", 128, 1], purl);
  }
  const refs = new Set([metadata.component["bom-ref"], ...components.map((one) => one["bom-ref"])]);
  assert.equal(refs.size, components.length + 1, "each reference is one component's");
  const needs = new Map(dependencies.map(({ ref, dependsOn }) => [ref, dependsOn]));
  for (const [ref, all] of needs) for (const other of [ref, ...all]) assert.ok(refs.has(other), other);
  const reached = new Set<string>();
  const open = [metadata.component["bom-ref"]];
  for (let ref = open.pop(); ref !== undefined; ref = open.pop()) {
    if (reached.has(ref)) continue;
    reached.add(ref);
    open.push(...(needs.get(ref) ?? []));
  }
  assert.deepEqual(
    [...refs].filter((ref) => !reached.has(ref)),
    [],
    "packages that nothing needs",
  );
});
