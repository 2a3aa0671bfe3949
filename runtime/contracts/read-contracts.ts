// Reads a folder of contracts, and says of each file what is wrong with it.
import { type Dirent, existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { ConfigurationError, messageOf } from "../core/errors.ts";
import { isEventType } from "../core/event-envelope.ts";
import { show } from "../skills/author/check-options.ts";
import { loadDefault, loadSchema } from "./load-schema.ts";
import { type ContractExample, type ContractProblem, ContractRegistry, type ContractType, type ContractVersion, type Upcaster, newestOf } from "./registry.ts";

export interface ReadContracts {
  /** Without what could not be read. */
  readonly registry: ContractRegistry;
  readonly problems: readonly ContractProblem[];
}

const versionName = /^(0|[1-9]\d{0,3})\.(0|[1-9]\d{0,3})\.(?:json|ts|mts|js|mjs)$/;
const upcasterName = /^(0|[1-9]\d{0,3})-([1-9]\d{0,3})\.(?:ts|mts|js|mjs)$/;
const exampleName = /^((?:0|[1-9]\d{0,3})\.(?:0|[1-9]\d{0,3}))(?:-[\w.-]+)?\.json$/;
/** Beside the contracts may lie what describes or types them, and what a build leaves. */
const besideName = /^\.|\.md$|\.d\.m?ts$|\.map$/;
const examplesFolder = "examples";
const problemsShownMax = 10;

/** Reads everything below a folder. Throws `ConfigurationError` where there is no such folder. */
export async function readContracts(folder: string): Promise<ReadContracts> {
  if (!existsSync(folder))
    throw new ConfigurationError(
      `contracts: expected a folder at ${folder}, found nothing there; make it, with contracts as <EventType>/1.0.json, or take 'contracts' out of the configuration`,
    );
  const types: ContractType[] = [];
  const problems: ContractProblem[] = [];
  for (const name of namesIn(folder, "folders")) {
    if (/^[._]/.test(name)) continue;
    const eventType = typeOfFolder(name);
    if (eventType === undefined) {
      problems.push({
        file: name,
        message: `expected a folder named by an event type (A-Z a-z 0-9 . _ ~ -, and %2F or %3A for / or :), found ${show(name)}; rename it, or begin it with _ where it holds no contract`,
      });
      continue;
    }
    const type = await readType(folder, name, eventType, problems);
    if (type.versions.length > 0) types.push(type);
  }
  return { registry: new ContractRegistry(folder, types), problems };
}

/** Reads contracts that something is to go by. Throws `ConfigurationError` naming each file, what was expected of it and what to do. */
export async function openRegistry(folder: string): Promise<ContractRegistry> {
  const { registry, problems } = await readContracts(folder);
  if (problems.length === 0) return registry;
  const shown = problems.slice(0, problemsShownMax).map(describeProblem);
  const more = problems.length - shown.length;
  throw new ConfigurationError(`contracts in ${folder}: ${shown.join("; ")}${more > 0 ? `; and ${more} more, which 'holdfast contracts check' lists` : ""}`);
}

export function describeProblem({ file, message }: ContractProblem): string {
  return file === "" ? message : `${file}: ${message}`;
}

function namesIn(folder: string, what: "files" | "folders"): readonly string[] {
  // What Kubernetes mounts of a ConfigMap are links.
  const isFolder = (entry: Dirent): boolean =>
    entry.isDirectory() || (entry.isSymbolicLink() && statSync(join(folder, entry.name), { throwIfNoEntry: false })?.isDirectory() === true);
  const isWanted = (entry: Dirent): boolean => isFolder(entry) === (what === "folders");
  return readdirSync(folder, { withFileTypes: true })
    .filter(isWanted)
    .map(({ name }) => name)
    .sort();
}

/** Undefined for a name that is no event type's. */
export function typeOfFolder(folderName: string): string | undefined {
  try {
    const eventType = decodeURIComponent(folderName);
    return isEventType(eventType) ? eventType : undefined;
  } catch {
    return undefined;
  }
}

interface FoundFile {
  readonly file: string;
  readonly numbers: readonly [number, number];
}

/** The files of a type's folder by what their names say they are. */
function sortFiles(
  folder: string,
  name: string,
  problems: ContractProblem[],
): { readonly versions: readonly FoundFile[]; readonly upcasters: readonly FoundFile[] } {
  const versions: FoundFile[] = [];
  const upcasters: FoundFile[] = [];
  for (const base of namesIn(join(folder, name), "files")) {
    const file = `${name}/${base}`;
    const [list, match] = versionName.test(base) ? [versions, versionName.exec(base)] : [upcasters, upcasterName.exec(base)];
    if (match !== null) list.push({ file, numbers: [Number(match[1]), Number(match[2])] });
    else if (!besideName.test(base))
      problems.push({
        file,
        message:
          "expected <major>.<minor>.json or .ts for a contract, or <from>-<to>.ts for an upcaster, found another name; put what several share into _shared/",
      });
  }
  return { versions, upcasters };
}

async function readType(folder: string, name: string, eventType: string, problems: ContractProblem[]): Promise<ContractType> {
  const files = sortFiles(folder, name, problems);
  const versions = await readVersions(folder, files.versions, problems);
  if (files.versions.length === 0)
    problems.push({ file: name, message: "expected at least one contract, such as 1.0.json, found none; write one, or remove the folder" });
  checkGaps(name, files.versions, problems);
  const examples = await readExamples(folder, name, versions, problems);
  const upcasters = await readUpcasters(folder, files.upcasters, versions, problems);
  return { eventType, versions, upcasters: new Map(upcasters.map((one) => [one.from, one])), examples };
}

/** Carries out what may find a file wrong. */
async function attempt<Result>(file: string, problems: ContractProblem[], work: () => Promise<Result>): Promise<Result | undefined> {
  try {
    return await work();
  } catch (error) {
    problems.push({ file, message: messageOf(error, 4_000) });
    return undefined;
  }
}

async function readVersions(folder: string, files: readonly FoundFile[], problems: ContractProblem[]): Promise<readonly ContractVersion[]> {
  const versions: ContractVersion[] = [];
  for (const { file, numbers } of files) {
    const [major, minor] = numbers;
    const version = `${major}.${minor}`;
    const other = versions.find((one) => one.version === version);
    if (other !== undefined) problems.push({ file, message: `expected one file of version ${version}, found ${other.file} as well; remove one of them` });
    const loaded = other === undefined ? await attempt(file, problems, () => loadSchema(folder, file)) : undefined;
    if (loaded !== undefined) versions.push({ version, major, minor, file, ...loaded });
  }
  return versions.sort((one, next) => one.major - next.major || one.minor - next.minor);
}

/** Majors follow each other, from any on; minors do, from 0 on. */
function checkGaps(name: string, files: readonly FoundFile[], problems: ContractProblem[]): void {
  const found = new Set(files.map(({ numbers: [major, minor] }) => `${major}.${minor}`));
  const majors = new Set(files.map(({ numbers: [major] }) => major));
  const first = Math.min(...majors);
  for (const { file, numbers } of files) {
    const [major, minor] = numbers;
    const expected = minor > 0 ? `${major}.${minor - 1}` : major > first && !majors.has(major - 1) ? `${major - 1}.0` : undefined;
    if (expected === undefined || found.has(expected)) continue;
    problems.push({
      file,
      message: `expected version ${expected} of ${name} before ${major}.${minor}, found none; give it the number that comes next, or restore the missing file`,
    });
  }
}

async function readExamples(
  folder: string,
  name: string,
  versions: readonly ContractVersion[],
  problems: ContractProblem[],
): Promise<readonly ContractExample[]> {
  if (!existsSync(join(folder, name, examplesFolder))) return [];
  const examples: ContractExample[] = [];
  for (const base of namesIn(join(folder, name, examplesFolder), "files")) {
    const file = `${name}/${examplesFolder}/${base}`;
    const version = exampleName.exec(base)?.[1];
    if (version === undefined) {
      if (!besideName.test(base))
        problems.push({ file, message: "expected <major>.<minor>.json or <major>.<minor>-<what>.json, found another name; rename it" });
    } else if (!versions.some((one) => one.version === version)) {
      problems.push({ file, message: `expected a contract of version ${version} of ${name} that can be read, found none; write it, or remove the example` });
    } else {
      const payload = await attempt(file, problems, async () => ({ is: await loadDefault(folder, file) }));
      if (payload !== undefined) examples.push({ version, file, payload: payload.is });
    }
  }
  return examples;
}

async function readUpcasters(
  folder: string,
  files: readonly FoundFile[],
  versions: readonly ContractVersion[],
  problems: ContractProblem[],
): Promise<readonly Upcaster[]> {
  const upcasters: Upcaster[] = [];
  for (const { file, numbers } of files) {
    const [from, to] = numbers;
    const upcaster = await attempt(file, problems, async () => {
      if (to <= from) throw new ConfigurationError(`expected an upcaster to lead to a later major than ${from}, found ${to}; name it ${from}-${from + 1}`);
      if (newestOf({ versions }, to) === undefined)
        throw new ConfigurationError(`expected a contract of major ${to} to convert to, found none; write ${to}.0 first`);
      const other = upcasters.find((one) => one.from === from);
      if (other !== undefined) throw new ConfigurationError(`expected one upcaster from major ${from}, found ${other.file} as well; remove one of them`);
      const convert = await loadDefault(folder, file);
      if (typeof convert !== "function")
        throw new ConfigurationError(`expected its default export to be a function from a payload of ${from}.x to one of ${to}.x, got ${show(convert)}`);
      return { from, to, file, convert: convert as Upcaster["convert"] };
    });
    if (upcaster !== undefined) upcasters.push(upcaster);
  }
  return upcasters;
}
