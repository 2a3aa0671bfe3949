// `npm run sbom`: writes what a worker consists of as a CycloneDX document, from the lock file: each package that is installed in production, by name, version, licence and hash, and
// what needs what. The same lock file makes the same document. `--out FILE` writes it there; `--licences` lists licences instead.
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";

const root = resolve(import.meta.dirname, "..");
const { values } = parseArgs({ options: { out: { type: "string" }, licences: { type: "boolean" } } });
const lockText = readFileSync(join(root, "package-lock.json"), "utf8");
const { packages } = JSON.parse(lockText);
const own = packages[""];

/** Those that are not for development alone. An optional one may be so though the lock file does not say it: it is looked at who needs it. */
const candidates = new Set(Object.keys(packages).filter((folder) => folder !== "" && packages[folder].dev !== true && packages[folder].devOptional !== true));
const nameOf = (folder) => packages[folder].name ?? folder.slice(folder.lastIndexOf("node_modules/") + "node_modules/".length);
const purlOf = (name, version) => `pkg:npm/${name.replace(/^@/, "%40")}@${version}`;
const refOf = (folder) => `${purlOf(nameOf(folder), packages[folder].version)}#${folder}`;

/** As Node looks for it: beside the package that needs it, then in each folder above. */
function folderOf(name, from) {
  const within = `${from}/node_modules/${name}`;
  if (from !== "" && packages[within] !== undefined) return within;
  if (from === "") return packages[`node_modules/${name}`] === undefined ? undefined : `node_modules/${name}`;
  return folderOf(name, from.slice(0, Math.max(0, from.lastIndexOf("/node_modules/"))));
}

const byName = (one, other) => (one < other ? -1 : 1);

/** Folders of what a package needs. */
function neededBy({ dependencies = {}, optionalDependencies = {}, peerDependencies = {} }, from) {
  const names = Object.keys({ ...dependencies, ...optionalDependencies, ...peerDependencies });
  return [...new Set(names.map((name) => folderOf(name, from)).filter((folder) => candidates.has(folder)))].sort(byName);
}

const folders = new Set();
for (const open = neededBy(own, ""); open.length > 0;) {
  const folder = open.pop();
  if (folders.has(folder)) continue;
  folders.add(folder);
  open.push(...neededBy(packages[folder], folder));
}
const listed = [...folders].sort(byName);

function licencesOf(text) {
  if (text === undefined) return [];
  return [/[ ()]/.test(text) ? { expression: text } : { license: { id: text } }];
}

function componentOf(folder) {
  const { version, license, integrity = "", optional } = packages[folder];
  const name = nameOf(folder);
  const [, scope, bare = name] = /^(@[^/]+)\/(.+)$/.exec(name) ?? [];
  const hashes = integrity
    .split(" ")
    .filter((part) => part.startsWith("sha512-"))
    .map((part) => ({ alg: "SHA-512", content: Buffer.from(part.slice("sha512-".length), "base64").toString("hex") }));
  return {
    type: "library",
    "bom-ref": refOf(folder),
    ...(scope === undefined ? {} : { group: scope }),
    name: bare,
    version,
    scope: optional === true ? "optional" : "required",
    hashes,
    licenses: licencesOf(license),
    purl: purlOf(name, version),
  };
}

function bom() {
  const digest = createHash("sha256").update(lockText).digest("hex");
  // A UUID of version 8: its bits are the lock file's.
  const serial = `${digest.slice(0, 8)}-${digest.slice(8, 12)}-8${digest.slice(13, 16)}-a${digest.slice(17, 20)}-${digest.slice(20, 32)}`;
  const self = purlOf(own.name, own.version);
  return {
    $schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    serialNumber: `urn:uuid:${serial}`,
    version: 1,
    metadata: {
      lifecycles: [{ phase: "pre-build" }],
      component: { type: "application", "bom-ref": self, name: own.name, version: own.version, licenses: licencesOf(own.license), purl: self },
    },
    components: listed.map(componentOf),
    dependencies: [
      { ref: self, dependsOn: neededBy(own, "").map(refOf) },
      ...listed.map((folder) => ({ ref: refOf(folder), dependsOn: neededBy(packages[folder], folder).map(refOf) })),
    ],
  };
}

function licences() {
  const names = new Map();
  for (const folder of listed) {
    const licence = packages[folder].license ?? "none";
    names.set(licence, new Set([...(names.get(licence) ?? []), nameOf(folder)]));
  }
  const lines = [...names].map(([licence, all]) => `${licence} (${all.size}): ${[...all].join(", ")}`);
  return `${lines.toSorted((one, other) => one.localeCompare(other, "en")).join("\n")}\n`;
}

const text = values.licences === true ? licences() : `${JSON.stringify(bom(), undefined, 2)}\n`;
if (values.out === undefined) process.stdout.write(text);
else writeFileSync(values.out, text);
