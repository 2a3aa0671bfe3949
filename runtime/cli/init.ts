/** `holdfast init`: a project with a configuration, a skill, its test, an image and a workflow. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { basename, dirname, join, relative, resolve } from "node:path";
import { ConfigurationError, HoldfastError } from "../core/errors.ts";
import { writeText } from "./output.ts";
import { checkName } from "./scaffold/names.ts";
import { readPackageFile } from "./scaffold/package-file.ts";
import { projectFiles } from "./scaffold/project-files.ts";
import type { TestRunner } from "./scaffold/skill-files.ts";
import { writeFiles } from "./scaffold/write-files.ts";
import { type OwnPackage, ownPackage } from "../adapters/system/version.ts";

export interface InitOptions {
  readonly test: TestRunner;
  readonly install: boolean;
}

/** Only the projects that are made have it. */
const vitestVersion = "^5.1.2";

/** How the nearest project upwards has the runtime, where that is a file that a new project can have as well; else the version that runs. */
export function ownRange(folder: string, version: string): string {
  for (let at = dirname(folder); ; at = dirname(at)) {
    const range = rangeIn(join(at, "package.json"));
    if (range?.startsWith("file:") === true) return `file:${relative(folder, resolve(at, range.slice("file:".length)))}`;
    if (range !== undefined) return range;
    if (at === dirname(at)) return `^${version}`;
  }
}

/** What lies above a new project may be anything. */
function rangeIn(file: string): string | undefined {
  try {
    return readPackageFile(file)?.dependencies?.["holdfast"];
  } catch (error) {
    if (error instanceof ConfigurationError) return undefined;
    throw error;
  }
}

/** Whether this is the project itself, rather than a package that was made of it. */
function isClone(folder: string): boolean {
  return existsSync(join(folder, "tsconfig.build.json"));
}

const packedName = ({ name, version }: OwnPackage): string => `${name}-${version}.tgz`;

function pack(from: string, root: string): void {
  npm(["pack", "--silent", "--pack-destination", root], from, `then run 'npm pack --pack-destination ${root}' there, and 'npm install' in ${root}`);
}

function install(folder: string): void {
  npm(["install", "--no-audit", "--no-fund", "--loglevel=error"], folder, "then run 'npm install' there");
}

function npm(args: readonly string[], cwd: string, then: string): void {
  const command = `npm ${args[0]}`;
  const { status, error } = spawnSync("npm", args, { cwd, stdio: ["ignore", 2, 2], shell: process.platform === "win32" });
  if (status !== 0)
    throw new HoldfastError(
      "INSTALL_FAILED",
      error === undefined
        ? `expected '${command}' to succeed in ${cwd}, it ended with code ${String(status)}; the project itself is made: mend what npm names above, ${then}`
        : `expected to run '${command}' in ${cwd}, found: ${error.message}; the project itself is made: check that npm is on the PATH, ${then}`,
    );
}

/** Throws `ConfigurationError` where something is in the way. */
export function init(folder: string, { test: runner, install: installs }: InitOptions): void {
  // An empty one, as of a variable that is not set, would be the folder at hand.
  const root = resolve(folder);
  const name = checkName("init", folder === "" ? folder : basename(root));
  const own = ownPackage();
  if (name === own.name) throw new ConfigurationError(`init: expected a name that no package of the project has, got '${name}'; choose another`);
  const range = ownRange(root, own.version);
  // A clone has what no registry may have: the project is given it as a package.
  const packs = installs && range === `^${own.version}` && isClone(own.folder);
  const holdfast = packs ? `file:${packedName(own)}` : range;
  writeFiles(root, projectFiles({ name, runner, holdfast, versions: new Map([...own.versions, ["vitest", vitestVersion]]) }));
  if (packs) pack(own.folder, root);
  if (installs) install(root);
  writeText(
    `made ${root}\n  cd ${relative(process.cwd(), root) || "."}${installs ? "" : " && npm install"} && npm test\n  npx holdfast new skill NAME --event TYPE\n`,
  );
}
