// An author at work: `holdfast dev --plugin`, with stand-ins, examples and saved changes.
import { strict as assert } from "node:assert";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { eventually } from "../support/eventually.ts";
import { runCommand, startCommand } from "../support/holdfast-command.ts";
import { longTest } from "../support/long.ts";

const runtime = resolve(import.meta.dirname, "../../runtime");

/** `word` is what the skill says; a run that is told to holds on for a while. */
const source = (word: string): string => `import { setTimeout as pause } from "node:timers/promises";
import { defineDependency, definePlugin, defineSkill } from "${runtime}/index.ts";
export const mailer = defineDependency({ name: "mailer" });
export const greet = defineSkill({
  name: "greet",
  handles: [{ eventType: "Greeted" }],
  uses: [mailer],
  timeoutMs: 60_000,
  async run(context) {
    const { waitMs } = context.event.payload as { waitMs: number };
    const { body } = await context.step("send", (step) => step.call(mailer, { method: "POST", path: "/mails", body: {} }));
    context.log.info("begun ${word}");
    await pause(waitMs);
    context.log.info("${word} " + (body as { id: string }).id);
  },
});
export default definePlugin({ skills: [greet], dependencies: [mailer] });
`;

longTest("a plugin runs with its stubs and examples; what is saved is at work soon, a mistake is shown, and nothing under way is lost", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-author-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const plugin = join(folder, "plugins/greet");
  mkdirSync(join(plugin, "examples"), { recursive: true });
  const entry = join(plugin, "index.ts");
  writeFileSync(
    join(plugin, "holdfast.plugin.json"),
    JSON.stringify({ name: "greet", version: "1.0.0", entry: "./index.ts", skills: ["greet"], dependencies: ["mailer"] }),
  );
  writeFileSync(entry, source("hello"));
  writeFileSync(
    join(plugin, "stubs.ts"),
    `import { stub } from "${runtime}/testing/index.ts";\nimport { mailer } from "./index.ts";\nexport default [stub(mailer, ({ number }) => ({ body: { id: "mail-" + number } }))];\n`,
  );
  writeFileSync(join(plugin, "examples/Greeted.json"), JSON.stringify({ waitMs: 0 }));
  writeFileSync(join(plugin, "examples/slow.json"), JSON.stringify({ eventType: "Greeted", payload: { waitMs: 4_000 } }));

  const { process: dev, done } = startCommand(["dev", "--plugin", "plugins/greet", "--watch"], process.env, folder);
  t.after(() => dev.kill("SIGKILL"));
  let said = "";
  dev.stderr?.on("data", (text: string) => (said += text));
  dev.stdout?.on("data", (text: string) => (said += text));
  const heard = (what: RegExp | string, times = 1): Promise<boolean> =>
    eventually(`'${String(what)}' to be said: ${said.slice(-1_500)}`, () => said.split(what).length > times, 30_000);
  const send = async (name: string): Promise<void> => {
    const { code, stderr } = await runCommand(["send", "-c", ".holdfast/dev.config.json", "--example", name], process.env, folder);
    assert.equal(code, 0, stderr);
  };
  await heard("holdfast dev: watching");
  assert.match(said, /live page http:/);
  await send("Greeted");
  await heard("hello mail-1");

  await send("slow");
  await heard("begun hello", 2);
  writeFileSync(entry, source("bonjour"));
  await heard(/reloaded in \d+ ms/);
  await send("Greeted");
  await heard("bonjour mail-1");
  await heard("hello mail-2");

  writeFileSync(entry, source("bonjour").replace("handles: [", "handles: [["));
  await heard("the code before goes on");
  assert.match(said, /> *\d+ \| /);
  await send("Greeted");
  await heard("bonjour mail-2");
  writeFileSync(entry, source("ciao"));
  await heard(/reloaded in \d+ ms/, 2);
  await send("Greeted");
  await heard("ciao mail-1");

  const manifest = readFileSync(join(plugin, "holdfast.plugin.json"), "utf8");
  writeFileSync(join(plugin, "holdfast.plugin.json"), "{");
  await heard("until the next save");
  await send("Greeted");
  await heard("ciao mail-2");
  rmSync(join(plugin, "stubs.ts"));
  writeFileSync(join(plugin, "holdfast.plugin.json"), manifest);
  writeFileSync(entry, source("hej"));
  await heard(/reloaded in \d+ ms/, 3);
  await send("Greeted");
  await heard("expected a stub of 'mailer'");

  const unknown = await runCommand(["send", "-c", ".holdfast/dev.config.json", "--example", "greeted"], process.env, folder);
  assert.match(unknown.stderr, /--example: expected one of Greeted, slow in .*, found 'greeted'; did you mean 'Greeted'/);
  dev.kill("SIGINT");
  const { code } = await done;
  assert.equal(code, 0, said);
});

/** Is told a greeting and a mark, and notes what it has done. */
const toldSource = (word: string, notes: string): string => `import { appendFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { definePlugin, defineSettings, defineSkill } from "holdfast";
import { z } from "zod";
const settings = defineSettings({ schema: z.strictObject({ greeting: z.string().default("hello"), mark: z.string().default("!") }) });
const welcome = defineSkill({
  name: "welcome",
  handles: [{ eventType: "Welcomed" }],
  concurrentMax: 20,
  async run(context) {
    const { greeting, mark } = context.settings(settings);
    await context.step("write", () => pause(100));
    appendFileSync(${JSON.stringify(notes)}, ["${word}", context.event.eventId, greeting + " " + context.event.payload.name + mark].join(",") + "\\n");
  },
});
export default definePlugin({ name: "shop", skills: [welcome], settings });
`;

longTest(
  "a plugin has the settings and contracts of its project, a change of them is at work soon, and events that come while files are saved are done once",
  async (t) => {
    const folder = mkdtempSync(join(tmpdir(), "holdfast-author-"));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const plugin = join(folder, "plugins/shop");
    const [entry, notes] = [join(plugin, "index.ts"), join(folder, "notes")];
    const config = join(folder, "holdfast.config.yaml");
    const configText = (greeting: string): string =>
      `sources: [{ queue: orders }]\nserviceBus: { connectionString: production }\nplugins: [./plugins/shop]\ncontracts: ./contracts\nsettings: { shop: { greeting: ${greeting} } }\n`;
    for (const made of [plugin, join(folder, "contracts/Welcomed")]) mkdirSync(made, { recursive: true });
    writeFileSync(config, configText("good day"));
    writeFileSync(
      join(folder, "contracts/Welcomed/1.0.json"),
      JSON.stringify({ type: "object", required: ["name"], properties: { name: { type: "string" } } }),
    );
    writeFileSync(join(plugin, "holdfast.plugin.json"), JSON.stringify({ name: "shop", version: "1.0.0", entry: "./index.ts", skills: ["welcome"] }));
    writeFileSync(notes, "");
    writeFileSync(entry, toldSource("first", notes));

    const { process: dev, done } = startCommand(["dev", "--plugin", "plugins/shop", "--watch", "--set", "settings.shop.mark=?"], process.env, folder);
    t.after(() => dev.kill("SIGKILL"));
    let said = "";
    dev.stderr?.on("data", (text: string) => (said += text));
    const heard = (what: RegExp | string, times = 1): Promise<boolean> =>
      eventually(`'${String(what)}' to be said: ${said.slice(-1_500)}`, () => said.split(what).length > times, 30_000);
    const send = (...options: string[]): ReturnType<typeof runCommand> =>
      runCommand(["send", "-c", ".holdfast/dev.config.json", "--event-type", "Welcomed", ...options], process.env, folder);
    const lines = (): readonly string[] => readFileSync(notes, "utf8").split("\n").slice(0, -1);
    const noted = (text: string): Promise<boolean> =>
      eventually(`'${text}' in ${lines().slice(-3).join("; ")}`, () => lines().some((line) => line.includes(text)), 30_000);
    await heard("holdfast dev: watching");
    assert.match(said, /settings and contracts by holdfast\.config\.yaml/);
    assert.equal((await send("--payload", '{"name":"Ada"}')).code, 0);
    await noted("good day Ada?");
    const refused = await send("--payload", "{}");
    assert.notEqual(refused.code, 0);
    assert.match(refused.stderr, /Welcomed/);
    await send("--payload", "{}", "--no-check");
    await heard("InvalidPayload");

    const before = lines().length;
    const sending = send("--payload", '{"name":"Ada"}', "--count", "400", "--json");
    writeFileSync(config, configText("good evening"));
    await heard(/reloaded in \d+ ms/);
    writeFileSync(entry, toldSource("second", notes));
    await heard(/reloaded in \d+ ms/, 2);
    assert.equal((await sending).code, 0);
    await send("--payload", '{"name":"Bob"}');
    await noted("good evening Bob?");
    await eventually("all of them to be done", () => lines().length >= before + 401, 60_000);
    const ids = lines().map((line) => line.split(",")[1]);
    assert.equal(new Set(ids).size, ids.length);
    dev.kill("SIGINT");
    assert.equal((await done).code, 0, said);
  },
);
