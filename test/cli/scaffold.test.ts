// What `init` and `new skill` write, whatever it is called, and whatever lies around it.
import { strict as assert } from "node:assert";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { pathToFileURL } from "node:url";
import { Script } from "node:vm";
import { ownRange } from "#runtime/cli/init.ts";
import { runnerOf } from "#runtime/cli/new-skill.ts";
import { projectFiles } from "#runtime/cli/scaffold/project-files.ts";
import { writeFiles } from "#runtime/cli/scaffold/write-files.ts";
import { type Exported, recordedTest } from "#runtime/cli/scaffold/recorded-test.ts";
import type { CallAnswer } from "#runtime/skills/host/call-answers.ts";
import { definitionOf, handlersOf } from "#runtime/cli/scaffold/project-plugins.ts";
import { type NewSkill, skillFiles, type TestRunner } from "#runtime/cli/scaffold/skill-files.ts";

function folderOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-scaffold-"));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

/** Every name that a module declares, in whatever block: imports, constants and parameters, as often as it does. */
function declaredIn(code: string): readonly string[] {
  return [...code.matchAll(/\b(?:import|const) (\w+)\b|\b(?:import|const) \{([^}]*)\}|\((\w+)\) =>|\brun\((\w+)\)|\(\{([^}]*)\}\) =>/g)].flatMap(
    ([, one, several, parameter, given, parameters]) =>
      [one ?? several ?? parameter ?? given ?? parameters ?? ""].flatMap((names) => names.split(",").map((name) => name.trim().replace(/^.* as /, ""))),
  );
}

const runners: readonly TestRunner[] = ["node", "vitest", "jest"];
const plain = { name: "order-refund", eventType: "RefundRequested", hasContract: false } as const;

for (const runner of runners)
  test(`a skill or a dependency may be called by any word of the files that are made, with ${runner}`, () => {
    const usual = [undefined, "payment-service"].flatMap((dependency) => [...skillFiles({ ...plain, runner, dependency }).values()]).join("\n");
    const words = new Set([...(usual.match(/\b[a-z]+\b/g) ?? []), ...(usual.match(/\b[a-z]+(?:[A-Z][a-z]+)+\b/g) ?? []), "arguments", "eval", "class"]);
    for (const word of words) {
      const name = word.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
      for (const [skill, dependency] of [
        [name, undefined],
        [name, "payment-service"],
        ["order-refund", name],
        [name, name],
      ] as const) {
        const files = skillFiles({ ...plain, name: skill, runner, dependency });
        const module = files.get(`plugins/${skill}/index.ts`) ?? "";
        const constants = [...module.matchAll(/export const (\w+)/g)].map(([, constant = ""]) => constant);
        assert.equal(constants.length, dependency === undefined ? 1 : 2);
        assert.doesNotThrow(() => new Script(`"use strict"; const ${constants.join(" = 0, ")} = 0;`), `${skill}, ${dependency}: ${constants.join(", ")}`);
        for (const text of [module, files.get(`plugins/${skill}/${skill}.test.ts`) ?? ""])
          for (const constant of constants)
            assert.equal(declaredIn(text).filter((declared) => declared === constant).length, 1, `${skill}, ${dependency}: ${constant} in\n${text}`);
      }
    }
  });

for (const runner of runners)
  test(`a test of a recorded run calls a skill and a dependency by whatever they are exported as, with ${runner}`, () => {
    const answers: readonly CallAnswer[] = [{ dependency: "d", step: undefined, place: "?0", came: { response: { status: 200, body: {} } } }];
    const given = {
      runner,
      isTyped: false,
      module: "./index.js",
      eventId: "evt-1",
      failure: "HTTP_422",
      event: { payload: { id: "a-1" } },
      message: { replyTo: "answers" },
      session: { id: "s-1" },
      done: [{ name: "one", result: 1 }],
      stubsFile: "./stubs.js",
      notes: [],
    };
    const testOf = (skill: Exported, dependency: Exported): string => recordedTest({ ...given, skill, stubs: [{ dependency, isHttp: true, answers }] });
    const usual = testOf({ name: "own", exported: "own" }, { name: "d", exported: undefined });
    for (const word of new Set([...(usual.match(/\b[A-Za-z]+\b/g) ?? []), "class", "PermanentError"]))
      for (const exported of [word, undefined]) {
        if (word === "d" || word === "own") continue;
        for (const text of [
          testOf({ name: word, exported }, { name: "d", exported: "d" }),
          testOf({ name: "own", exported: "own" }, { name: word, exported }),
        ]) {
          const whole = text
            .replaceAll(/^import (\w+), \{/gm, "import $1;\nimport {")
            .replaceAll(
              /^import (?:\{(.*)\}|(\w+)).*;$/gm,
              (_, several: string | undefined, one: string) => `let ${several?.replaceAll(" as ", ": ").replace(/(.*)/, "{$1} = {}") ?? one};`,
            );
          assert.doesNotThrow(() => new Script(`"use strict"; async () => {\n${whole}\n}`), `${word}, ${exported}:\n${text}`);
          assert.doesNotMatch(text, /\{ outcome, reason, description \} = await testSkill\((?:outcome|reason|description),/);
        }
      }
  });

test("a test of a recorded run tells apart what has no exported name, however alike the names are", () => {
  const answers: readonly CallAnswer[] = [{ dependency: "d", step: undefined, place: "?0", came: { response: { status: 200, body: {} } } }];
  const dependencies: readonly Exported[] = [
    { name: "a-b", exported: undefined },
    { name: "a.b", exported: undefined },
    { name: "other", exported: "aB" },
    { name: "own", exported: undefined },
  ];
  const text = recordedTest({
    runner: "node",
    isTyped: false,
    module: "./index.js",
    eventId: "evt-1",
    failure: "HTTP_422",
    skill: { name: "own", exported: undefined },
    event: { payload: {} },
    message: undefined,
    session: undefined,
    done: [],
    stubs: dependencies.map((dependency) => ({ dependency, isHttp: true, answers })),
    stubsFile: undefined,
    notes: [],
  });
  const constants = [...text.matchAll(/^const (\w+) = plugin\.(\w+)\.find\(\(\{ name \}\) => name === ("[^"]+")\);$/gm)];
  const found = constants.map(([, constant, list, name]) => `${list} ${name} ${constant}`);
  assert.deepEqual(found, ['skills "own" own', 'dependencies "a-b" aBHere', 'dependencies "a.b" aBHereHere', 'dependencies "own" ownHere']);
  assert.match(text, /import plugin, \{ aB \} from/);
  assert.deepEqual(
    [...text.matchAll(/ stub\((\w+), /g)].map(([, constant]) => constant),
    ["aBHere", "aBHereHere", "aB", "ownHere"],
  );
});

test("a place where no folder can be made is refused at once", { skip: process.platform !== "linux" }, () => {
  assert.throws(() => writeFiles("/proc/holdfast/shop", new Map([["skills/one.ts", ""]])), {
    code: "HOLDFAST_CONFIGURATION",
    message: /expected a folder that can be written to at \/proc\/holdfast\/shop, found .+; choose another place/,
  });
});

test("a project that is made takes its plugins from folders, whatever else lies beside them", async (t) => {
  const folder = folderOf(t);
  writeFiles(join(folder, "shop"), projectFiles({ name: "shop", runner: "node", holdfast: "*", versions: new Map() }));
  const root = join(folder, "shop");
  for (const name of ["README.md", ".DS_Store"]) writeFileSync(join(root, "plugins", name), "");
  const file = join(root, "holdfast.config.mts");
  writeFileSync(
    file,
    readFileSync(join(root, "holdfast.config.ts"), "utf8").replace('import { defineConfig } from "holdfast";', "const defineConfig = (config) => config;"),
  );
  const { default: config } = (await import(pathToFileURL(file).href)) as { readonly default: { readonly plugins: readonly string[] } };
  assert.deepEqual(config.plugins, ["./plugins/greeter"]);
});

test("a package.json that is none is named where it is needed, and is nobody's business above a new project", (t) => {
  const folder = folderOf(t);
  for (const broken of ["{", "null", "[]", ""]) {
    writeFileSync(join(folder, "package.json"), broken);
    assert.throws(() => runnerOf(folder), {
      name: "ConfigurationError",
      message: new RegExp(`${join(folder, "package.json")}: expected a JSON object, found .*; mend it`),
    });
    assert.equal(ownRange(join(folder, "shop"), "9.9.9"), "^9.9.9");
  }
  writeFileSync(join(folder, "package.json"), '\uFEFF{ "devDependencies": { "jest": "*" } }');
  assert.equal(runnerOf(folder), "jest");
});

test("a skill that calls a service of another plugin takes its definition from there, and one more skill for an event is told of", async (t) => {
  const root = folderOf(t);
  const write = (skill: Omit<NewSkill, "runner" | "hasContract">): ReadonlyMap<string, string> => {
    const files = skillFiles({ ...skill, runner: "node", hasContract: false });
    writeFiles(root, files);
    return files;
  };
  write({ name: "greeter", eventType: "CustomerSignedUp", dependency: "mail-service" });
  const definedIn = definitionOf(root, "mail-service");
  assert.deepEqual(definedIn, { plugin: "greeter", constant: "mailService" });
  const files = write({ name: "mail-service", eventType: "OrderPaid", dependency: "mail-service", definedIn });
  const module = files.get("plugins/mail-service/index.ts") ?? "";
  assert.match(module, /^import \{ mailService as mailServiceService \} from "\.\.\/greeter\/index\.ts";$/m);
  assert.doesNotMatch(module, /defineDependency/);
  for (const file of ["mail-service.test.ts", "stubs.ts"])
    assert.match(files.get(`plugins/mail-service/${file}`) ?? "", /^import \{ mailService as mailServiceService \} from "\.\.\/greeter\/index\.ts";$/m);
  assert.deepEqual(definitionOf(root, "mail"), undefined);
  assert.deepEqual([handlersOf(root, "OrderPaid"), handlersOf(root, "Order"), handlersOf(join(root, "nowhere"), "OrderPaid")], [["mail-service"], [], []]);
});
