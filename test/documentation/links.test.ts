// The documents lead somewhere: files, headings and commands that they name exist, and each top folder has its README.
import { strict as assert } from "node:assert";
import { existsSync, globSync, readFileSync, readdirSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { test } from "node:test";
import { wholeProgram } from "#runtime/cli/program.ts";
import { codeBlocksOf, codeIn, readDocument, root } from "../support/markdown.ts";

const documents = globSync(["*.md", ".ci/*.md", ".github/workflows/*.md", "{runtime,handlers,load,bench,test,deploy}/**/*.md"], { cwd: root });

/** As GitHub makes them. */
function anchorsOf(markdown: string): string[] {
  const plain = markdown.replaceAll(/^```.*?^```$/gms, "");
  const headings = [...plain.matchAll(/^#+ (.+)$/gm)].map(([, text = ""]) =>
    text
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-"),
  );
  return [...headings, ...[...plain.matchAll(/<a id="([^"]+)">/g)].map((match) => match[1] ?? "")];
}

test("every link leads to a file of the project, and to a heading in it", () => {
  const broken: string[] = [];
  for (const document of documents) {
    for (const [, target = ""] of readDocument(document).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(target)) continue;
      const [path = "", anchor] = target.split("#");
      const file = path === "" ? document : normalize(join(dirname(document), path));
      if (!existsSync(join(root, file))) broken.push(`${document}: ${target}`);
      else if (anchor !== undefined && !anchorsOf(readDocument(file)).includes(anchor)) broken.push(`${document}: ${target} (no such heading)`);
    }
  }
  assert.deepEqual(broken, []);
});

/** Whether a name in backticks is meant as a file: from the root, beside the document, or in a folder that the document's rows name. */
function isThere(document: string, path: string): boolean {
  return [root, join(root, dirname(document)), join(root, "runtime/pipeline")].some((folder) => existsSync(join(folder, path)));
}

test("every file that a document names exists", () => {
  const missing: string[] = [];
  for (const document of [
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "runtime/README.md",
    "load/README.md",
    "load/broker/README.md",
    "bench/README.md",
    "handlers/README.md",
    "test/README.md",
    "deploy/README.md",
    "deploy/prometheus/README.md",
  ]) {
    const prose = readDocument(document).replaceAll(/^```.*?^```$/gms, "");
    for (const name of codeIn(prose)) {
      const isPath = /^[\w.-]+(?:\/[\w.-]+)+$/.test(name) && !/^(?:application|plugins|node_modules|holdfast|\.holdfast)\//.test(name);
      if (isPath && !isThere(document, name)) missing.push(`${document}: ${name}`);
    }
  }
  assert.deepEqual(missing, []);
});

test("every npm script and every subcommand that a document names exists", async () => {
  const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { readonly scripts: Readonly<Record<string, string>> };
  const known = new Set((await wholeProgram()).commands.map((command) => command.name()));
  const benches = readdirSync(join(root, "bench"));
  const unknown: string[] = [];
  for (const document of documents) {
    const text = readDocument(document);
    for (const [line, script = ""] of text.matchAll(/npm run ([a-z:]+)/g)) if (scripts[script] === undefined) unknown.push(`${document}: ${line}`);
    for (const [line, name = ""] of text.matchAll(/npm run bench -- ([a-z]+)/g)) if (!benches.includes(name)) unknown.push(`${document}: ${line}`);
    const typed = codeBlocksOf(text)
      .filter(({ language }) => language === "sh")
      .flatMap(({ text }) => text.split("\n"));
    for (const line of typed) for (const [, name = ""] of line.matchAll(/^holdfast ([a-z]+)/g)) if (!known.has(name)) unknown.push(`${document}: ${line}`);
  }
  assert.deepEqual(unknown, []);
});

test("each top folder has a README of at most a page", () => {
  for (const folder of ["runtime", "handlers", "load", "bench", "test", ".ci", ".github/workflows"]) {
    const lines = readDocument(join(folder, "README.md")).split("\n").length;
    assert.ok(lines <= 60, `expected ${folder}/README.md to have at most 60 lines, found ${lines}`);
  }
});
