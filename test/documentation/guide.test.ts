// The guide does what it says: its tests pass, its skills are tried, its commands and configurations are accepted.
import { strict as assert } from "node:assert";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import { test } from "node:test";
import type { Command } from "commander";
import { wholeProgram } from "#runtime/cli/program.ts";
import { type Config, parseConfig } from "#runtime/core/config.ts";
import { knowOwnName } from "#runtime/skills/host/own-name.ts";
import { loadPlugins } from "#runtime/skills/host/plugins.ts";
import { chapters } from "../support/guide-examples.ts";
import { isLong } from "../support/long.ts";
import { readDocument, root } from "../support/markdown.ts";
import { exampleFolder } from "../support/readme-examples.ts";

const isTest = (file: string): boolean => file.endsWith(".test.ts");

test("a chapter is read in one sitting, leads to the next one, and is listed where readers look for it", () => {
  assert.ok(chapters.length >= 7);
  const list = readDocument("handlers/guide/README.md");
  const llms = readDocument("llms.txt");
  for (const [index, { path, lines, text }] of chapters.entries()) {
    assert.ok(lines <= 160, `expected ${path} to have at most 160 lines, found ${lines}`);
    const next = chapters[index + 1]?.path ?? "README.md";
    assert.ok(text.includes(`](${basename(next)})`), `expected ${path} to lead to ${next}`);
    assert.ok(list.includes(`](${basename(path)})`), `expected handlers/guide/README.md to list ${path}`);
    assert.ok(llms.includes(`](${path})`), `expected llms.txt to list ${path}`);
  }
});

/** Names of tests that try a skill in every way, some hundred cases each, or a whole worker: in the long form alone. README's run in the short one. */
const longNames = /whatever happens|in every way|nothing twice|the first version began|outside of a step is found|through the worker/;

test("the tests that the guide shows pass", () => {
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const files = chapters.flatMap(({ folder, files }) => [...files.keys()].filter(isTest).map((file) => join(exampleFolder, folder, file)));
  const shown = chapters.flatMap(({ files }) => [...files].filter(([file]) => isTest(file)).flatMap(([, text]) => text.match(/^ *test\(.*/gm) ?? []));
  const expected = isLong ? shown : shown.filter((line) => !longNames.test(line));
  // Where the package is installed, Node finds it by its name.
  const hook = `data:text/javascript,import { knowOwnName } from ${JSON.stringify(import.meta.resolve("#runtime/skills/host/own-name.ts"))}; knowOwnName();`;
  const args = [
    "--import",
    hook,
    "--test",
    "--test-isolation=none",
    "--test-reporter=spec",
    ...(isLong ? [] : [`--test-skip-pattern=${longNames.source}`]),
    ...files,
  ];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: exampleFolder, encoding: "utf8", env });
  assert.equal(status, 0, `${stdout}${stderr}`);
  const passed = Number(/^ℹ pass (\d+)$/m.exec(stdout)?.[1]);
  assert.ok(expected.length > 15 && passed >= expected.length, `expected at least ${expected.length} tests to run, found ${passed}`);
});

test("each skill that the guide shows is run by a test that it shows", () => {
  const untried: string[] = [];
  for (const { path, files } of chapters) {
    const tests = [...files].filter(([file]) => isTest(file)).map(([, text]) => text);
    for (const [file, text] of files) {
      for (const [, skill = ""] of text.matchAll(/^export const (\w+)(?::[^=]+)? = defineSkill\b/gm)) {
        const isRun = new RegExp(`\\btestSkill(?:\\.everyWay)?\\(${skill}\\b|\\bsuccessor: ${skill}\\b`);
        if (!tests.some((one) => isRun.test(one))) untried.push(`${path}: ${skill} of ${file}`);
      }
    }
  }
  assert.deepEqual(untried, []);
});

test("the worker accepts each configuration and each plugin that the guide shows", async () => {
  knowOwnName();
  const needed = {
    sources: [{ queue: "events" }],
    plugins: ["./plugins/x"],
    serviceBus: { connectionString: "Endpoint=sb://here;SharedAccessKeyName=k;SharedAccessKey=a2V5" },
  };
  const parsed: Config[] = [];
  for (const { path, folder, files, configurations } of chapters) {
    for (const text of configurations) parsed.push(parseConfig({ ...needed, ...(JSON.parse(text) as object) }, path));
    if (!files.has("holdfast.config.ts")) continue;
    const directory = join(exampleFolder, folder);
    const given = ((await import(join(directory, "holdfast.config.ts"))) as { readonly default: object }).default;
    const { plugins, pluginRoots } = parseConfig({ ...given, serviceBus: needed.serviceBus }, path);
    const [plugin] = await loadPlugins({ plugins, roots: pluginRoots, directory });
    assert.ok(plugin !== undefined && plugin.skills.length > 0);
  }
  assert.ok(parsed.length >= 2);
});

/** What is wrong with a line, by what the program knows; undefined for nothing. */
function problemOf(program: Command, words: readonly string[]): string | undefined {
  let command = program;
  for (const word of words) {
    const found = command.commands.find((one) => one.name() === word);
    if (found === undefined) break;
    command = found;
  }
  // One that begins with a command alone: `broker` has options and commands.
  const isGroup = command.commands.length > 0 && command.options.every(({ long }) => long === "--version");
  if (isGroup) return `names no command of '${command.name()}'`;
  const known = command.options.flatMap(({ short, long }) => [short, long]);
  const unknown = words.find((word) => word.startsWith("-") && !known.includes(word));
  return unknown === undefined ? undefined : `'${command.name()}' has no option ${unknown}`;
}

test("the program knows each command that the guide shows, with its options", async () => {
  const program = await wholeProgram();
  const lines = chapters.flatMap(({ path, commands }) => commands.map((line) => ({ path, line })));
  const wrong: string[] = [];
  for (const { path, line } of lines) {
    const words = line.replaceAll(/'[^']*'/g, "TEXT").split(/\s+/);
    const [first, ...others] = words[0] === "npx" ? words.slice(1) : words;
    if (first !== "holdfast") continue;
    const problem = problemOf(program, others);
    if (problem !== undefined) wrong.push(`${path}: ${line}: ${problem}`);
  }
  assert.deepEqual(wrong, []);
  assert.ok(lines.length > 10);
});

test("llms.txt has the form of its kind, and leads to files that exist, each once and with a line that says what is there", () => {
  const llms = readDocument("llms.txt");
  assert.match(llms, /^# Holdfast\n\n> [^\n]+\n/);
  const links = [...llms.matchAll(/^- \[([^\]]+)\]\(([^)]+)\): (.{10,})$/gm)].map(([, , target = ""]) => target);
  assert.equal(links.length, llms.split("\n").filter((line) => line.startsWith("- ")).length, "each point of a list is a link with its line");
  assert.equal(new Set(links).size, links.length);
  assert.deepEqual(
    links.filter((target) => !existsSync(join(root, target))),
    [],
  );
});
