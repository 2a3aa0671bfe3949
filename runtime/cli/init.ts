/** `holdfast init`: a project with a configuration, a skill, its test, an image and a workflow. */
import { spawnSync } from "node:child_process";
import { basename, dirname, join, relative, resolve } from "node:path";
import { ConfigurationError, HoldfastError } from "../core/errors.ts";
import { writeText } from "./output.ts";
import { checkName } from "./scaffold/names.ts";
import { readPackageFile } from "./scaffold/package-file.ts";
import { projectFiles } from "./scaffold/project-files.ts";
import type { TestRunner } from "./scaffold/skill-files.ts";
import { writeFiles } from "./scaffold/write-files.ts";
import { ownPackage } from "../adapters/system/version.ts";

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

function install(folder: string): void {
  const { status, error } = spawnSync("npm", ["install", "--no-audit", "--no-fund", "--loglevel=error"], {
    cwd: folder,
    stdio: ["ignore", 2, 2],
    shell: process.platform === "win32",
  });
  if (status !== 0)
    throw new HoldfastError(
      "INSTALL_FAILED",
      error === undefined
        ? `expected 'npm install' to succeed in ${folder}, it ended with code ${String(status)}; the project itself is made: mend what npm names above, then run 'npm install' there`
        : `expected to run 'npm install' in ${folder}, found: ${error.message}; the project itself is made: check that npm is on the PATH, then run 'npm install' there`,
    );
}

/** Throws `ConfigurationError` where something is in the way. */
export function init(folder: string, { test: runner, install: installs }: InitOptions): void {
  const root = resolve(folder);
  const name = checkName("init", basename(root));
  const { version, versions } = ownPackage();
  writeFiles(root, projectFiles({ name, runner, holdfast: ownRange(root, version), versions: new Map([...versions, ["vitest", vitestVersion]]) }));
  if (installs) install(root);
  writeText(
    `made ${root}\n  cd ${relative(process.cwd(), root) || "."}${installs ? "" : " && npm install"} && npm test\n  npx holdfast new skill NAME --event TYPE\n`,
  );
}
