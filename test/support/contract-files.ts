// Folders of contracts that a test writes.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import type { TestContext } from "node:test";

/** Contracts as a project would have them: two versions of OrderPlaced as JSON, a third as a module, an upcaster, examples. */
export const sampleContracts: string = resolve(import.meta.dirname, "contracts");

/** By path: a text as it is, anything else as JSON. */
export type FilesOfTest = Readonly<Record<string, unknown>>;

export function writeFilesTo(folder: string, files: FilesOfTest): void {
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), typeof content === "string" ? content : JSON.stringify(content, undefined, 2));
  }
}

/** A folder that ends with the test. */
export function folderOfTest(t: Pick<TestContext, "after">, files: FilesOfTest = {}): string {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-contracts-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  writeFilesTo(folder, files);
  return folder;
}

/** The schema of an object. */
export function objectOf(
  properties: Readonly<Record<string, unknown>>,
  required: readonly string[] = [],
  more: Readonly<Record<string, unknown>> = {},
): object {
  return { type: "object", properties, required, ...more };
}
