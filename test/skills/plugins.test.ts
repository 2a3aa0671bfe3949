import { strict as assert } from "node:assert";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { type TestContext, test } from "node:test";
import type { Config } from "#runtime/core/config.ts";
import { loadPlugins } from "#runtime/skills/host/plugins.ts";
import { SkillRegistry } from "#runtime/skills/host/registry.ts";
import { defineDependency, defineSkill } from "../../runtime/index.ts";
import { oddNames, oddWords } from "../support/odd-names.ts";

const project = resolve(import.meta.dirname, "../..");
const none: Pick<Config, "dependencies" | "skills"> = { dependencies: new Map(), skills: new Map() };

interface PluginFiles {
  readonly manifest?: unknown;
  readonly code?: string;
  readonly eventType?: string;
  readonly versions?: string;
  /** Default `index.ts`; under node_modules Node takes JavaScript only. */
  readonly entry?: string;
}

function makeFolder(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-plugins-"));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function writePlugin(folder: string, name: string, files: PluginFiles = {}): string {
  const { eventType = `${name}Happened`, versions = "1.x", entry = "index.ts" } = files;
  const place = join(folder, name);
  mkdirSync(place, { recursive: true });
  const manifest = files.manifest ?? { name, version: "1.0.0", entry: `./${entry}`, skills: [name], dependencies: [] };
  writeFileSync(join(place, "holdfast.plugin.json"), JSON.stringify(manifest));
  const code = files.code ?? `defineSkill({ name: "${name}", handles: [{ eventType: "${eventType}", versions: "${versions}" }], run() {} })`;
  writeFileSync(
    join(place, entry),
    `import { definePlugin, defineSkill } from "${project}/runtime/index.ts";\nexport default definePlugin({ skills: [${code}] });\n`,
  );
  return place;
}

function refusal(directory: string, plugins: readonly string[], roots: readonly string[] = ["."]): Promise<string> {
  return loadPlugins({ plugins, roots, directory }).then(
    () => assert.fail("expected the plugins to be refused"),
    (error: unknown) => {
      assert.equal((error as { code?: unknown }).code, "HOLDFAST_CONFIGURATION");
      return (error as Error).message;
    },
  );
}

test("loads a listed folder and an installed package", async (t) => {
  const folder = makeFolder(t);
  writePlugin(folder, "greeter");
  writePlugin(join(folder, "node_modules"), "installed", { entry: "index.mjs" });
  const plugins = await loadPlugins({ plugins: ["./greeter", "installed"], roots: ["."], directory: folder });
  assert.deepEqual(
    plugins.map(({ name, listedAs }) => [name, listedAs]),
    [
      ["greeter", "./greeter"],
      ["installed", "installed"],
    ],
  );
});

const usesZod =
  'import { z } from "zod";\nimport { definePlugin, defineSkill } from "holdfast";\nexport default definePlugin({ skills: [defineSkill({ name: "greeter", handles: [{ eventType: z.origin ?? "Runtime" }], run() {} })] });\n';

/** The event type says whose `zod` the plugin has found. */
async function eventTypeOf(folder: string): Promise<string | undefined> {
  const [plugin] = await loadPlugins({ plugins: ["./greeter"], roots: ["."], directory: folder });
  return plugin?.skills[0]?.handles[0]?.eventType;
}

test("a plugin anywhere finds the runtime and its zod by their names, from modules and from CommonJS", async (t) => {
  for (const code of [
    usesZod,
    usesZod.replace('import { z } from "zod";', 'import { createRequire } from "node:module";\nconst { z } = createRequire(import.meta.url)("zod");'),
  ]) {
    const folder = makeFolder(t);
    writeFileSync(join(writePlugin(folder, "greeter", { entry: "index.mjs" }), "index.mjs"), code);
    assert.equal(await eventTypeOf(folder), "Runtime");
  }
});

test("what a plugin has installed itself comes before what the runtime lends", async (t) => {
  const folder = makeFolder(t);
  const place = writePlugin(folder, "greeter", { entry: "index.mjs" });
  writeFileSync(join(place, "index.mjs"), usesZod);
  const own = join(place, "node_modules", "zod");
  mkdirSync(own, { recursive: true });
  writeFileSync(join(own, "package.json"), JSON.stringify({ name: "zod", version: "9.9.9", type: "module", exports: "./index.js" }));
  writeFileSync(join(own, "index.js"), 'export const z = { origin: "Own" };\n');
  assert.equal(await eventTypeOf(folder), "Own");
});

test("a package that nobody has installed is refused by its name", async (t) => {
  const folder = makeFolder(t);
  writeFileSync(join(writePlugin(folder, "greeter", { entry: "index.mjs" }), "index.mjs"), usesZod.replace('"zod"', '"zod-elsewhere"'));
  assert.match(await refusal(folder, ["./greeter"]), /Cannot find package 'zod-elsewhere'/);
});

test("refuses a path that leaves the roots", async (t) => {
  const folder = makeFolder(t);
  writePlugin(folder, "outside");
  mkdirSync(join(folder, "allowed"));
  assert.match(await refusal(folder, ["./allowed/../outside"], ["./allowed"]), /expected it inside .*allowed, it leads to .*outside/);
});

test("refuses a folder whose name merely begins like a root", async (t) => {
  const folder = makeFolder(t);
  mkdirSync(join(folder, "allowed"));
  writePlugin(folder, "allowed-not");
  assert.match(await refusal(folder, ["./allowed-not"], ["./allowed"]), /expected it inside/);
});

test("refuses links that lead out, of the folder and of the entry", async (t) => {
  const folder = makeFolder(t);
  const outside = writePlugin(folder, "outside");
  mkdirSync(join(folder, "allowed"));
  symlinkSync(outside, join(folder, "allowed", "linked"));
  assert.match(await refusal(folder, ["./allowed/linked"], ["./allowed"]), /it leads to .*outside/);
  const inside = writePlugin(join(folder, "allowed"), "inside");
  rmSync(join(inside, "index.ts"));
  symlinkSync(join(outside, "index.ts"), join(inside, "index.ts"));
  assert.match(await refusal(folder, ["./allowed/inside"], ["./allowed"]), /entry '\.\/index\.ts': expected it inside/);
});

for (const url of ["data:text/javascript,export default 1", "http://example.com/plugin.js", "file:///etc/plugin"]) {
  test(`refuses the URL ${url}`, async (t) => {
    const folder = makeFolder(t);
    assert.match(await refusal(folder, [url]), /expected a path .* got a URL/);
    writePlugin(folder, "tricky", { manifest: { name: "tricky", version: "1.0.0", entry: url, skills: ["tricky"] } });
    assert.match(await refusal(folder, ["./tricky"]), /entry: expected a path below the plugin's folder/);
  });
}

test("refuses a manifest that names other skills than the module exports", async (t) => {
  const folder = makeFolder(t);
  writePlugin(folder, "greeter", { manifest: { name: "greeter", version: "1.0.0", entry: "./index.ts", skills: ["welcomer"] } });
  assert.match(await refusal(folder, ["./greeter"]), /the manifest names welcomer, the entry exports greeter/);
});

test("refuses unknown keys, a missing manifest, a module that throws", async (t) => {
  const folder = makeFolder(t);
  writePlugin(folder, "extra", { manifest: { name: "extra", version: "1.0.0", entry: "./index.ts", skills: ["extra"], hooks: [] } });
  assert.match(await refusal(folder, ["./extra"]), /got 'hooks'/);
  mkdirSync(join(folder, "empty"));
  assert.match(await refusal(folder, ["./empty"]), /manifest: expected it at .*holdfast\.plugin\.json/);
  writePlugin(folder, "broken", { code: "(() => { throw new Error('no licence'); })()" });
  assert.match(await refusal(folder, ["./broken"]), /expected its entry to load, it threw: no licence/);
});

test("refuses one skill name in two plugins", async (t) => {
  const folder = makeFolder(t);
  writePlugin(folder, "one", {
    manifest: { name: "one", version: "1.0.0", entry: "./index.ts", skills: ["same"] },
    code: 'defineSkill({ name: "same", handles: [{ eventType: "A" }], run() {} })',
  });
  writePlugin(folder, "two", {
    manifest: { name: "two", version: "1.0.0", entry: "./index.ts", skills: ["same"] },
    code: 'defineSkill({ name: "same", handles: [{ eventType: "B" }], run() {} })',
  });
  assert.match(await refusal(folder, ["./one", "./two"]), /found 'same' in plugin '\.\/one' and in plugin '\.\/two'/);
});

test("plugins share a dependency by one definition, and two definitions of a name are refused", async (t) => {
  const folder = makeFolder(t);
  const write = (name: string, mailer: string): void => {
    const place = writePlugin(folder, name, { manifest: { name, version: "1.0.0", entry: "./index.ts", skills: [name], dependencies: ["mailer"] } });
    writeFileSync(
      join(place, "index.ts"),
      `import { defineDependency, definePlugin, defineSkill } from "${project}/runtime/index.ts";
${mailer}
const skill = defineSkill({ name: "${name}", handles: [{ eventType: "${name}Happened" }], uses: [mailer], run() {} });
export default definePlugin({ skills: [skill], dependencies: [mailer] });
`,
    );
  };
  const own = 'export const mailer = defineDependency({ name: "mailer", baseUrl: "https://mail.example.com" });';
  write("welcome", own);
  write("goodbye", 'import { mailer } from "../welcome/index.ts";');
  write("reminder", own);
  const plugins = await loadPlugins({ plugins: ["./welcome", "./goodbye"], roots: ["."], directory: folder });
  const registry = new SkillRegistry(plugins, none);
  assert.deepEqual(
    registry.dependencies.map(({ name }) => name),
    ["mailer"],
  );
  const numbersOf = (type: string): unknown => (registry.find(type, "1.0") as { readonly uses: unknown }).uses;
  assert.deepEqual(numbersOf("welcomeHappened"), numbersOf("goodbyeHappened"));
  assert.equal(
    await refusal(folder, ["./welcome", "./reminder"]),
    "expected one definition of each dependency, found two of 'mailer', in plugin './welcome' and in plugin './reminder'; have one import it from the other, rename one, or unlist a plugin",
  );
});

test("refuses two skills for one event type, unless their versions do not overlap", async (t) => {
  const folder = makeFolder(t);
  writePlugin(folder, "old", { eventType: "Order", versions: "1.x" });
  writePlugin(folder, "new", { eventType: "Order", versions: "2.x" });
  writePlugin(folder, "late", { eventType: "Order", versions: "1.4" });
  const load = (...names: string[]): ReturnType<typeof loadPlugins> =>
    loadPlugins({ plugins: names.map((name) => `./${name}`), roots: ["."], directory: folder });
  const registry = new SkillRegistry(await load("old", "new"), none);
  const found = registry.find("Order", "2.3");
  assert.equal(typeof found === "string" ? found : found.name, "new");
  assert.equal(registry.find("Order", "3.0"), "unsupported-version");
  assert.equal(registry.find("Invoice", "1.0"), "unknown-type");
  const both = await load("old", "late");
  assert.throws(() => new SkillRegistry(both, none), /found 'old' and 'late' for Order 1\.4/);
});

test("refuses configuration for skills and dependencies that no plugin defines", async (t) => {
  const folder = makeFolder(t);
  writePlugin(folder, "greeter");
  const plugins = await loadPlugins({ plugins: ["./greeter"], roots: ["."], directory: folder });
  assert.throws(
    () => new SkillRegistry(plugins, { ...none, skills: new Map([["greter", { timeoutMs: 5 }]]) }),
    /skills\.greter: expected a name that a listed plugin defines \(greeter\), got 'greter'; did you mean 'greeter'\?/,
  );
  assert.throws(() => new SkillRegistry(plugins, { ...none, dependencies: new Map([["mailer", {}]]) }), /dependencies\.mailer/);
});

test("skills, dependencies and event types may have names that every object knows", async (t) => {
  const folder = makeFolder(t);
  for (const name of oddWords) {
    const place = writePlugin(folder, name, { manifest: { name, version: "1.0.0", entry: "./index.ts", skills: [name], dependencies: [name] } });
    const code = `import { defineDependency, definePlugin, defineSkill } from "${project}/runtime/index.ts";
const dependency = defineDependency({ name: "${name}", request() {} });
const skill = defineSkill({ name: "${name}", handles: [{ eventType: "${name}" }], uses: [dependency], run() {} });
export default definePlugin({ skills: [skill], dependencies: [dependency] });`;
    writeFileSync(join(place, "index.ts"), code);
  }
  const plugins = await loadPlugins({ plugins: oddWords.map((name) => `./${name}`), roots: ["."], directory: folder });
  const configured = new SkillRegistry(plugins, {
    skills: new Map([["constructor", { timeoutMs: 7 }]]),
    dependencies: new Map([["toString", { bulkhead: { concurrentMax: 3 } }]]),
  });
  assert.deepEqual(
    configured.policies.map(({ name, timeoutMs }) => [name, timeoutMs]),
    oddWords.map((name) => [name, name === "constructor" ? 7 : 30_000]),
  );
  assert.deepEqual(
    configured.dependencies.map(({ name, bulkhead }) => [name, bulkhead.concurrentMax]),
    oddWords.map((name) => [name, name === "toString" ? 3 : 32]),
  );
  for (const name of oddNames)
    assert.deepEqual(configured.find(name, "1.0"), oddWords.includes(name) ? configured.policies.find((policy) => policy.name === name) : "unknown-type");
});

test("how many runs of a skill are under way at once is its author's word, unless it is configured; without either it is found out", () => {
  const concurrentMaxOf = (own: number | undefined, configured: number | undefined): number | undefined => {
    const skill = defineSkill({
      name: "caller",
      handles: [{ eventType: "Order" }],
      ...(own === undefined ? {} : { concurrentMax: own }),
      run: () => undefined,
    });
    const plugin = {
      name: "p",
      version: "1.0.0",
      folder: "/p",
      listedAs: "p",
      entry: "/p/index.ts",
      skills: [skill],
      dependencies: [],
      resources: [],
      settings: undefined,
      slow: [],
    };
    const skills = new Map(configured === undefined ? [] : [["caller", { concurrentMax: configured }]]);
    return new SkillRegistry([plugin], { skills, dependencies: new Map() }).policies[0]?.concurrentMax;
  };
  assert.deepEqual(
    [concurrentMaxOf(undefined, undefined), concurrentMaxOf(5, undefined), concurrentMaxOf(5, 7), concurrentMaxOf(undefined, 9)],
    [undefined, 5, 7, 9],
  );
});

test("a call that could take as long as the run around it is refused at start; the default is cut short by the run's end", () => {
  const registryOf = (timeouts: object, timeoutMs: number, configured?: object): SkillRegistry => {
    const api = defineDependency({ name: "api", request: () => Promise.resolve(1), timeouts });
    const skill = defineSkill({ name: "caller", handles: [{ eventType: "Order" }], uses: [api], timeoutMs, run: () => undefined });
    const plugin = {
      name: "p",
      version: "1.0.0",
      folder: "/p",
      listedAs: "p",
      entry: "/p/index.ts",
      skills: [skill],
      dependencies: [api],
      resources: [],
      settings: undefined,
      slow: [],
    };
    const dependencies = new Map(configured === undefined ? [] : [["api", { timeouts: configured }]]);
    return new SkillRegistry([plugin], { dependencies, skills: new Map() });
  };
  assert.throws(
    () => registryOf({ totalMs: 5_000 }, 5_000),
    /dependency 'api'\.timeouts\.totalMs: expected less than the timeoutMs of skill 'caller', which uses it \(5000\), got 5000/,
  );
  assert.throws(() => registryOf({}, 5_000, { totalMs: 9_000 }), /dependency 'api'\.timeouts\.totalMs/);
  assert.throws(
    () => registryOf({}, 5_000, { idleMs: 900, bodyMs: 800 }),
    /dependencies\.api\.timeouts: expected idleMs to be at most bodyMs \(800\), got 900/,
  );
  assert.doesNotThrow(() => registryOf({ totalMs: 4_999 }, 5_000));
  assert.doesNotThrow(() => registryOf({}, 5_000));
});

test("a fallback of a chain that could take as long as the run around it is refused at start", () => {
  const registryOf = (fallbackMs: number, configuredMs?: number): SkillRegistry => {
    const skill = defineSkill({
      name: "patient",
      handles: [{ eventType: "Order" }],
      timeoutMs: 5_000,
      steps: (begin) => begin.step("ask", { fallbacks: [{ name: "cache", quality: "cached", timeoutMs: fallbackMs, answer: () => 1 }] }, () => 2),
    });
    const plugin = {
      name: "p",
      version: "1.0.0",
      folder: "/p",
      listedAs: "p",
      entry: "/p/index.ts",
      skills: [skill],
      dependencies: [],
      resources: [],
      settings: undefined,
      slow: [],
    };
    const skills = new Map(configuredMs === undefined ? [] : [["patient", { timeoutMs: configuredMs }]]);
    return new SkillRegistry([plugin], { dependencies: new Map(), skills });
  };
  const refused = /skill 'patient' step 'ask' fallback 'cache'\.timeoutMs: expected less than the timeoutMs of its skill \((\d+)\), got (\d+); shorten it/;
  assert.throws(() => registryOf(5_000), refused);
  assert.throws(() => registryOf(4_999, 4_000), refused);
  assert.doesNotThrow(() => registryOf(4_999));
  assert.doesNotThrow(() => registryOf(5_000, 6_000));
});
