// The code in README.md and in the guide, laid into a folder where it can be checked and run: what is written there is what is tried.
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { pathToFileURL } from "node:url";
import { knowOwnName } from "#runtime/skills/host/own-name.ts";
import { readmeBlock } from "./first-skill.ts";
import { layGuide } from "./guide-examples.ts";
import { codeBlocksOf, readDocument, root } from "./markdown.ts";

/** Holds the project's packages and the examples, until the test file that imports this has ended. */
export const exampleFolder: string = mkdtempSync(join(tmpdir(), "holdfast-readme-"));
after(() => rmSync(exampleFolder, { recursive: true, force: true }));
symlinkSync(join(root, "node_modules"), join(exampleFolder, "node_modules"));
writeFileSync(join(exampleFolder, "package.json"), JSON.stringify({ type: "module" }));
mkdirSync(join(exampleFolder, "examples"));

const examples = codeBlocksOf(readDocument("README.md"))
  .filter(({ language }) => language === "ts")
  .map(({ text }, index) => ({ text, file: join(exampleFolder, "examples", `${index + 1}.ts`) }));
for (const { file, text } of examples) writeFileSync(file, text);
// What the example of a test imports.
writeFileSync(join(exampleFolder, "examples", "index.ts"), readmeBlock("`plugins/greeter/index.ts`", "ts"));
// What the example of a service imports.
writeFileSync(join(exampleFolder, "examples", "orders.ts"), readmeBlock("`orders.ts`:", "ts"));
layGuide(exampleFolder);

/** The file of the one example that contains `words`. */
export function exampleFile(words: string): string {
  const [example, ...others] = examples.filter(({ text }) => text.includes(words));
  if (example === undefined || others.length > 0)
    throw new Error(`expected one example of README.md to contain '${words}', found ${example === undefined ? 0 : others.length + 1}`);
  return example.file;
}

/** Imports the one example that contains `words`. */
export async function importExample<Exports>(words: string): Promise<Exports> {
  knowOwnName();
  return (await import(pathToFileURL(exampleFile(words)).href)) as Exports;
}
