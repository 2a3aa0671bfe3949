// Plugins that are handed over as objects: a thread has to find them as well.
import { strict as assert } from "node:assert";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { type TestContext, test } from "node:test";
import { pathToFileURL } from "node:url";
import type { Plugin } from "#runtime/index.ts";
import { loadPlugins } from "#runtime/skills/host/plugins.ts";
import { definePlugin, defineSkill } from "../../runtime/index.ts";
import embedded from "../support/embedded-plugin.ts";

const runtime = JSON.stringify(resolve(import.meta.dirname, "../../runtime/index.ts"));
const skills = [defineSkill({ name: "one", handles: [{ eventType: "One" }], run: () => undefined })];

/** A module of a plugin, imported as its program does. */
async function importPlugin(t: TestContext, file: string, options: string, more = ""): Promise<Plugin> {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-object-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, file);
  writeFileSync(
    path,
    `import { createWorker, definePlugin, defineSkill } from ${runtime};
const skills = [defineSkill({ name: "one", handles: [{ eventType: "One" }], run: () => undefined })];
export const plugin = definePlugin({ skills, ${options} });
${more}`,
  );
  return ((await import(pathToFileURL(path).href)) as { readonly plugin: Plugin }).plugin;
}

function refusal(plugin: Plugin): Promise<string> {
  return loadPlugins({ plugins: [plugin], roots: ["."], directory: "/" }).then(
    () => assert.fail("expected the plugin to be refused"),
    (error: Error & { readonly code?: unknown }) => {
      assert.equal(error.code, "HOLDFAST_CONFIGURATION");
      return error.message;
    },
  );
}

test("a plugin that names its module is loaded from there, beside listed ones, wherever it lies", async (t) => {
  const unnamed = await importPlugin(t, "billing.ts", "module: import.meta.url, version: '2.1.0'", "export default plugin;");
  const [first, second] = await loadPlugins({ plugins: [embedded, unnamed], roots: ["."], directory: "/", leavesOutput: true });
  assert.deepEqual([first?.name, first?.version, first?.entry, first?.skills === embedded.skills], ["embedded", "0.0.0", embedded.module, true]);
  assert.deepEqual([second?.name, second?.version, second?.listedAs], ["billing", "2.1.0", "billing"]);
});

test("one that no thread could import is refused with what to do", async (t) => {
  assert.match(
    await refusal(definePlugin({ skills })),
    /^plugin of the skills one: expected the address of its module, from which threads import it, got none; put it into a module of its own that says `export default definePlugin\(\{ module: import\.meta\.url/,
  );
  assert.match(
    await refusal(definePlugin({ skills, module: import.meta.url })),
    /^plugin of the skills one: expected a module that every thread can import by itself, got .*, the program/,
  );
  assert.match(
    await refusal(definePlugin({ skills, name: "gone", module: "file:///nowhere/gone.ts" })),
    /^plugin 'gone': expected its module at file:\/\/\/nowhere\/gone\.ts, found nothing/,
  );
  assert.match(
    await refusal(await importPlugin(t, "shy.ts", "module: import.meta.url")),
    /^plugin 'shy': expected its entry to export by default what definePlugin makes/,
  );
  const other = "export default definePlugin({ skills: [defineSkill({ name: 'two', handles: [{ eventType: 'Two' }], run: () => undefined })] });";
  assert.match(await refusal(await importPlugin(t, "changed.ts", "module: import.meta.url", other)), /name the same skills, .* one, the entry exports two/);
  for (const module of ["./index.ts", "https://example.com/index.js", 5 as unknown as string])
    assert.throws(() => definePlugin({ skills, module }), /^ConfigurationError: plugin\.module: expected the file: URL of the module/);
  assert.throws(() => definePlugin({ skills, name: "a b" }), /plugin\.name: expected/);
  assert.throws(() => definePlugin({ skills, version: "1" }), /plugin\.version: expected a version such as 1\.0\.0/);
});

test("a plugin's module that makes a worker itself is refused: every thread would", async (t) => {
  const plugin = await importPlugin(
    t,
    "busy.ts",
    "module: import.meta.url",
    "export default plugin;\nif (process.env['HOLDFAST_TRY']) createWorker({} as never);",
  );
  process.env["HOLDFAST_TRY"] = "1";
  t.after(() => delete process.env["HOLDFAST_TRY"]);
  assert.match(await refusal(plugin), /createWorker: expected to be called by a program, got a call while plugin 'busy' is imported, .*busy\.ts:5/s);
});
