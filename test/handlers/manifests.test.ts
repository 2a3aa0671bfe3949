import { strict as assert } from "node:assert";
import { globSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import type { Plugin } from "#runtime/index.ts";

const handlers = resolve(import.meta.dirname, "../../handlers");
const manifests = globSync("*/holdfast.plugin.json", { cwd: handlers }).sort();

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly entry: string;
  readonly skills: readonly string[];
  readonly dependencies: readonly string[];
}

const read = (path: string): Manifest => JSON.parse(readFileSync(join(handlers, path), "utf8")) as Manifest;

test("the four built-in plugins are there", () => {
  assert.deepEqual(
    manifests.map((path) => read(path).name),
    ["artifact-validator", "document-drafter", "event-dispatcher", "webhook-notifier"],
  );
});

test("each manifest names what its entry exports", async () => {
  const eventTypes: string[] = [];
  for (const path of manifests) {
    const manifest = read(path);
    assert.equal(manifest.name, dirname(path));
    const { default: plugin } = (await import(pathToFileURL(join(handlers, dirname(path), manifest.entry)).href)) as { readonly default: Plugin };
    assert.deepEqual(
      plugin.skills.map(({ name }) => name),
      manifest.skills,
    );
    assert.deepEqual(
      plugin.dependencies.map(({ name }) => name),
      manifest.dependencies,
    );
    eventTypes.push(...plugin.skills.flatMap(({ handles }) => handles.map(({ eventType }) => eventType)));
  }
  assert.equal(new Set(eventTypes).size, eventTypes.length, "expected no two skills for one event type");
});
