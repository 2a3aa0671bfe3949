import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { createProducer, type Producer } from "#runtime/index.ts";
import { figure } from "../support/figures.ts";
import { showProgress } from "../support/progress.ts";
import { Report, type ReportOptions } from "../support/report.ts";

export interface ReloadOptions extends ReportOptions {
  readonly rounds: number;
  readonly pause: number;
  readonly rate: number;
}

const root = resolve(import.meta.dirname, "../..");
const lookEveryMs = 20;
const turnMaxMs = 60_000;
const eventType = "Greeted";

/** `word` is what its events are noted with. */
const source = (word: string, notes: string): string => `import { appendFileSync } from "node:fs";
import { defineDependency, definePlugin, defineSkill } from "holdfast";
import { z } from "zod";

export const mailer = defineDependency({ name: "mailer", baseUrl: "https://mail.example.com" });
export const greet = defineSkill({
  name: "greet",
  handles: [{ eventType: "${eventType}" }],
  payload: z.object({ email: z.email() }),
  uses: [mailer],
  async run(context) {
    appendFileSync(${JSON.stringify(notes)}, "begun ${word} " + context.event.eventId + " " + Date.now() + "\\n");
    await context.step("send", (step) => step.call(mailer, { method: "POST", path: "/mails", body: { to: context.event.payload.email } }));
    appendFileSync(${JSON.stringify(notes)}, "done ${word} " + context.event.eventId + " " + Date.now() + "\\n");
  },
});
export default definePlugin({ skills: [greet], dependencies: [mailer] });
`;

interface Place {
  readonly folder: string;
  readonly entry: string;
  readonly notes: string;
}

interface Sample {
  readonly handledMs: number;
  readonly saidMs: number;
}

export async function run(options: ReloadOptions): Promise<number> {
  const report = new Report("reload", options);
  const { status } = spawnSync(process.execPath, [join(root, ".ci/build.mjs")], { stdio: ["ignore", "inherit", "inherit"] });
  if (status !== 0) throw new Error("expected the project to build, see above");
  const place = layOut();
  const dev = new Dev(place.folder);
  const stream = new Stream();
  try {
    await dev.until(/holdfast dev: watching/);
    stream.begin(join(place.folder, ".holdfast/dev.config.json"), options.rate);
    const samples: Sample[] = [];
    for (let round = 0; round <= options.rounds; round += 1) {
      showProgress(round === 0 ? "warm-up" : `save ${round} of ${options.rounds}`);
      await pause(options.pause);
      const sample = await save(place, dev, `word-${round}`);
      if (round > 0) samples.push(sample);
    }
    showProgress("");
    await stream.end();
    await until(() => stream.sent.every((id) => readFileSync(place.notes, "utf8").includes(` ${id} `)));
    tell(report, samples, stream.sent, notesOf(place.notes, "done"));
  } finally {
    await stream.end();
    await dev.stop();
    rmSync(place.folder, { recursive: true, force: true });
  }
  return report.end();
}

/** Outside of the project, as an author would have it. */
function layOut(): Place {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-bench-"));
  const plugin = join(folder, "plugins/greet");
  const place = { folder, entry: join(plugin, "index.ts"), notes: join(folder, "notes") };
  mkdirSync(plugin, { recursive: true });
  writeFileSync(place.notes, "");
  writeFileSync(
    join(plugin, "holdfast.plugin.json"),
    JSON.stringify({ name: "greet", version: "1.0.0", entry: "./index.ts", skills: ["greet"], dependencies: ["mailer"] }),
  );
  writeFileSync(
    join(plugin, "stubs.ts"),
    `import { stub } from "holdfast/testing";\nimport { mailer } from "./index.ts";\nexport default [stub(mailer, { status: 202 })];\n`,
  );
  writeFileSync(place.entry, source("first", place.notes));
  return place;
}

class Dev {
  readonly #child: ChildProcess;
  #said = "";

  constructor(folder: string) {
    const main = join(root, "dist/runtime/cli/main.js");
    const child = spawn(process.execPath, [main, "dev", "--plugin", "plugins/greet", "--watch"], { cwd: folder, stdio: ["ignore", "ignore", "pipe"] });
    child.stderr.setEncoding("utf8").on("data", (text: string) => (this.#said += text));
    this.#child = child;
  }

  /** All that it has said a reload took. */
  get reloads(): readonly number[] {
    return Array.from(this.#said.matchAll(/reloaded in (\d+) ms/g), ([, ms]) => Number(ms));
  }

  async until(what: RegExp): Promise<void> {
    await until(() => {
      if (this.#child.exitCode !== null) throw new Error(`expected dev to run, it ended: ${this.#said.slice(-2_000)}`);
      return what.test(this.#said);
    });
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const gone = once(this.#child, "exit");
    this.#child.kill("SIGINT");
    await gone;
  }
}

/** Events at a steady rate. */
class Stream {
  readonly sent: string[] = [];
  readonly #sending = new Set<Promise<unknown>>();
  #producer: Producer | undefined;
  #timer: NodeJS.Timeout | undefined;

  begin(configFile: string, rate: number): void {
    const { serviceBus } = JSON.parse(readFileSync(configFile, "utf8")) as { readonly serviceBus: { readonly connectionString: string } };
    const producer = createProducer({ serviceBus, publish: { entity: "events" }, projectId: "bench", agent: "bench" });
    this.#producer = producer;
    this.#timer = setInterval(() => {
      const sending = producer.send(eventType, { email: "ada@example.com" }).then(({ eventId }) => this.sent.push(eventId));
      this.#sending.add(sending);
      void sending.finally(() => this.#sending.delete(sending));
    }, 1_000 / rate);
  }

  async end(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#sending);
    await this.#producer?.stop();
  }
}

interface Note {
  readonly word: string;
  readonly eventId: string;
  readonly atMs: number;
}

function notesOf(file: string, of: "begun" | "done"): readonly Note[] {
  const lines = readFileSync(file, "utf8").split("\n");
  return lines.flatMap((line) => {
    const [kind, word = "", eventId = "", at = ""] = line.split(" ");
    return kind === of ? [{ word, eventId, atMs: Number(at) }] : [];
  });
}

async function until(isSo: () => boolean): Promise<void> {
  const untilMs = performance.now() + turnMaxMs;
  while (!isSo()) {
    if (performance.now() > untilMs) throw new Error(`expected it within ${turnMaxMs} ms`);
    await pause(lookEveryMs);
  }
}

async function save({ entry, notes }: Place, dev: Dev, word: string): Promise<Sample> {
  const before = dev.reloads.length;
  const text = source(word, notes);
  const savedMs = Date.now();
  writeFileSync(entry, text);
  await until(() => dev.reloads.length > before && readFileSync(notes, "utf8").includes(`begun ${word} `));
  const first = notesOf(notes, "begun").find((note) => note.word === word);
  return { handledMs: (first?.atMs ?? Number.NaN) - savedMs, saidMs: dev.reloads.at(-1) ?? Number.NaN };
}

function tell(report: Report, samples: readonly Sample[], sent: readonly string[], done: readonly Note[]): void {
  const handled = figure(samples, ({ handledMs }) => handledMs, 0);
  report.table({
    name: "reload",
    title: `From a save, ms; median (range) of ${samples.length} saves, on a stream of events`,
    columns: { handled: "new code handles an event", said: "said to have taken" },
    rows: [{ handled, said: figure(samples, ({ saidMs }) => saidMs, 0) }],
  });
  const times = new Map<string, number>();
  for (const { eventId } of done) times.set(eventId, (times.get(eventId) ?? 0) + 1);
  const wrong = sent.filter((id) => times.get(id) !== 1);
  report.guards({ what: `of ${sent.length} events, not handled once`, wrong: wrong.length, examples: wrong });
  report.targets({ what: "new code handles an event", found: handled, unit: "ms", bound: { atMost: 1_000 }, aim: 300 });
}
