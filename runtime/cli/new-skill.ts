/** `holdfast new skill`: a skill with its test and an event to try it with, in the project at hand. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { ConfigurationError } from "../core/errors.ts";
import { writeText } from "./output.ts";
import { checkEventType, checkName } from "./scaffold/names.ts";
import { definitionOf, handlersOf } from "./scaffold/project-plugins.ts";
import { readPackageFile } from "./scaffold/package-file.ts";
import { type TestRunner, contractFolder, skillFiles } from "./scaffold/skill-files.ts";
import { writeFiles } from "./scaffold/write-files.ts";

export interface NewSkillOptions {
  readonly event: string;
  readonly dependency?: string | undefined;
}

/** What the project's tests run with, by what it has installed for them. */
export function runnerOf(root: string): TestRunner {
  const { dependencies, devDependencies } = readPackageFile(join(root, "package.json")) ?? {};
  const has = (name: string): boolean => dependencies?.[name] !== undefined || devDependencies?.[name] !== undefined;
  return has("vitest") ? "vitest" : has("jest") ? "jest" : "node";
}

/** Throws `ConfigurationError` for names that will not do, and where something is in the way. */
export function newSkill(name: string, { event, dependency }: NewSkillOptions): void {
  const root = process.cwd();
  if (!existsSync(join(root, "package.json")))
    throw new ConfigurationError(`new skill: expected a project here, found no package.json in ${root}; go to its root, or make one with 'holdfast init NAME'`);
  const eventType = checkEventType(event);
  const files = skillFiles({
    name: checkName("new skill", name),
    eventType,
    // A project that has contracts gets one for the new event.
    hasContract: existsSync(join(root, "contracts")) && !existsSync(join(root, contractFolder(eventType))),
    dependency: dependency === undefined ? undefined : checkName("--dependency", dependency),
    definedIn: dependency === undefined ? undefined : definitionOf(root, dependency),
    runner: runnerOf(root),
  });
  const others = handlersOf(root, eventType);
  writeFiles(root, files);
  const listed = "a configuration that names its plugins one by one needs it in 'plugins'";
  writeText(`made ${[...files.keys()].join("\n     ")}\n${listed}; 'npm test' runs its test\n`);
  if (others.length > 0)
    writeText(
      `${eventType} is handled in ${others.map((other) => `plugins/${other}`).join(", ")}, too: give their skills 'versions' that do not overlap, or a worker refuses to start\n`,
    );
}
