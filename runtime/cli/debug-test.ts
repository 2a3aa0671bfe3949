/** `holdfast debug --to-test`: the run as a test of the kit. */
import { existsSync } from "node:fs";
import { dirname, extname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { HoldfastError } from "../core/errors.ts";
import type { EventEnvelope } from "../core/event-envelope.ts";
import type { StepRecord } from "../core/run.ts";
import { eventHeaders } from "../core/event-headers.ts";
import { importModule } from "../skills/host/import-module.ts";
import { decodeEvent } from "../skills/host/decode-event.ts";
import { resultsOf, rerun, asSent } from "../testing/rerun.ts";
import { routeOfMessage } from "../testing/recorded-run.ts";
import type { Outside } from "../testing/outside.ts";
import { Redaction } from "../testing/sensitive.ts";
import { eventMessage } from "../core/event-message.ts";
import type { CallAnswer } from "../skills/host/call-answers.ts";
import { decodeStep, encodeIntent, encodeStep } from "../skills/host/step-codec.ts";
import type { DoneBefore, TestMessage } from "../testing/skill-case.ts";
import type { DebugOptions } from "./debug-options.ts";
import { type Account, accountOf } from "./debug-report.ts";
import type { Case, EmittedPayload } from "./debug-case.ts";
import { writeNewFile } from "./new-file.ts";
import { runnerOf } from "./new-skill.ts";
import { type Exported, type RecordedTest, recordedTest } from "./scaffold/recorded-test.ts";

/** What the test holds, clean of what is nobody's business. */
interface Written extends Pick<RecordedTest, "done" | "message" | "session"> {
  readonly event: EventEnvelope;
  readonly answers: readonly CallAnswer[];
  readonly redacted: readonly string[];
  /** The same for what is said of the run. */
  readonly clean: <Value>(value: Value) => Value;
}

/** Answers what was written where, and what to know of it. */
export async function writeTest(
  one: Case,
  account: Account,
  { toTest, keepPayload = false, stubs }: DebugOptions,
  mayWrite: Outside["mayWrite"],
): Promise<string> {
  const { plugin } = one;
  const ownExtension = extname(fileURLToPath(plugin.entry));
  const file = typeof toTest === "string" ? resolve(toTest) : join(plugin.folder, `${nameOf(account.eventId)}.test${ownExtension}`);
  const written = writtenOf(one, keepPayload);
  const told = plugin.settings === undefined ? [] : ["The plugin has settings: give the test some, settings: provide(…)."];
  const notes = [...told, ...(await notesOf(one, account, written)), ...written.clean(account.refused).map((why) => `Not on record: ${why}`)];
  const exported = await exportsOf(one);
  const stubsOf = one.skill.uses.flatMap((dependency) => {
    const answers = written.answers.filter((answer) => answer.dependency === dependency.name);
    return answers.length === 0 ? [] : [{ dependency: exported(dependency), isHttp: dependency.request === undefined, answers }];
  });
  const from = (target: string): string => {
    const way = relative(dirname(file), target).replaceAll("\\", "/");
    return way.startsWith(".") ? way : `./${way}`;
  };
  const text = recordedTest({
    ...written,
    runner: runnerOf(projectOf(dirname(file))),
    isTyped: extname(file).endsWith("ts"),
    module: from(fileURLToPath(plugin.entry)),
    eventId: account.eventId,
    failure: account.now === undefined ? account.outcome : `${account.now.code}: ${written.clean(account.now.description)}`,
    skill: exported(one.skill),
    stubs: stubsOf,
    stubsFile: stubs === undefined ? undefined : from(resolve(stubs)),
    notes,
  });
  mayWrite(file);
  await writeNewFile("--to-test", file, async (handle) => handle.writeFile(text));
  return [`wrote ${file}`, ...notes].join("\n");
}

function nameOf(eventId: string): string {
  return eventId.replaceAll(/[^A-Za-z0-9._-]+/g, "-").slice(0, 100) || "event";
}

/** The nearest folder upwards that is a project; the one at hand where there is none. */
function projectOf(folder: string): string {
  for (let at = folder; ; at = dirname(at)) {
    if (existsSync(join(at, "package.json"))) return at;
    if (at === dirname(at)) return folder;
  }
}

function writtenOf(one: Case, keepsPayload: boolean): Written {
  const { run, surroundings, answers, session } = one;
  const message = asSent(run.message);
  const routed = routeOfMessage(message, surroundings);
  const event = routed.ok ? decodeEvent({ ...routed, body: message.body, enqueuedAtMs: Date.now() }, surroundings.limits) : routed;
  if (!event.ok)
    throw new HoldfastError(
      "HOLDFAST_NO_TEST",
      `--to-test: expected a message that a skill can be given, found ${event.invalid.reason}: ${event.invalid.description}`,
    );
  const redaction = new Redaction();
  const clean = <Value>(value: Value): Value => (keepsPayload ? value : (redaction.elsewhere(value) as Value));
  const marked = keepsPayload ? { payload: event.value.payload, answers } : markedOf(one, event.value, redaction);
  const { eventId, eventType, version } = event.value;
  const results = resultsOf(run);
  return {
    event: { ...clean({ ...event.value, payload: marked.payload }), eventId, eventType, version },
    done: run.steps.map(({ name, kind, state }): DoneBefore => ({ name, kind, ...(state === "intent" ? { state } : { result: clean(results.get(name)) }) })),
    answers: marked.answers.map((answer) => ({ ...answer, came: clean(answer.came) })),
    message: clean(messageOfTest(event.value, message)),
    session: clean(session),
    clean,
    redacted: redaction.places,
  };
}

/** Redacts by all that says what is nobody's business: the skill's own schema, the contracts of its event and of those that it emits, and the schemas of its dependencies. */
function markedOf(
  { skill, run, answers, emitted, contracts }: Case,
  { eventType, version, payload }: EventEnvelope,
  redaction: Redaction,
): Pick<Written, "answers"> & { readonly payload: unknown } {
  for (const told of [...emitted, ...run.steps.flatMap(emittedBy)])
    redaction.value(told.payload, [contracts?.schemaOf(told.eventType, told.version)], `the ${told.eventType} that it emits`);
  return {
    payload: redaction.value(payload, [skill.payload, contracts?.schemaOf(eventType, version)]),
    answers: answers.map((answer) => {
      const { name, schemas } = skill.uses.find((dependency) => dependency.name === answer.dependency) ?? {};
      const place = `the answer of '${name}'`;
      if (schemas?.response === undefined || "failure" in answer.came) return answer;
      const { response } = answer.came;
      if (schemas.of === "values") return { ...answer, came: { response: redaction.value(response, [schemas.response], place) } };
      const { body, ...rest } = response as { readonly body?: unknown };
      return { ...answer, came: { response: { ...rest, body: redaction.value(body, [schemas.response], place) } } };
    }),
  };
}

/** What a step has left to be published. */
function emittedBy(step: StepRecord): readonly EmittedPayload[] {
  const messages = step.state === "completed" ? (decodeStep(step)?.emitted ?? []) : [];
  return messages.flatMap(({ body }) => {
    const { eventType, version, payload } = JSON.parse(Buffer.from(body).toString("utf8")) as EventEnvelope;
    return [{ eventType, version, payload }];
  });
}

/** What the message says beside its event, for a skill that asks for it. */
function messageOfTest(event: EventEnvelope, { replyTo, replyToSessionId, headers }: Case["run"]["message"]): TestMessage | undefined {
  const known = new Set([...Object.keys(eventHeaders(event)), "traceparent", "tracestate"]);
  const properties = Object.fromEntries(Object.entries(headers).filter(([name]) => !known.has(name)));
  const said = {
    ...(replyTo === undefined ? {} : { replyTo }),
    ...(replyToSessionId === undefined ? {} : { replyToSessionId }),
    ...(Object.keys(properties).length === 0 ? {} : { properties }),
  };
  return Object.keys(said).length === 0 ? undefined : said;
}

/** Goes through what was written, and says where that comes to something else than the run itself. */
async function notesOf(one: Case, account: Account, { event, done, answers, session, redacted }: Written): Promise<readonly string[]> {
  if (redacted.length === 0) return [];
  const steps = done.map(({ name, kind = "keyed", state, result }) =>
    state === "intent" ? encodeIntent(name, kind) : encodeStep(name, kind, { result, emitted: [], quality: "full" }),
  );
  const again = { ...one, answers, session, run: { ...one.run, message: eventMessage(event), steps, payloadHash: undefined } };
  const clean = accountOf(again, await rerun(again), { refused: [], native: [] });
  const what = `Redacted: ${redacted.join(", ")}.`;
  const isSame = clean.outcome === account.outcome && clean.now?.code === account.now?.code && clean.now?.at === account.now?.at;
  if (isSame) return [what];
  const now = clean.now === undefined ? clean.outcome : `${clean.now.code}${clean.now.at === "" ? "" : `, ${clean.now.at}`}`;
  return [`${what} That changes what comes of it: ${now}. Put values of your own there, or write the payload as it is with --keep-payload.`];
}

/** By which name the plugin's module exports something. */
async function exportsOf({ plugin }: Case): Promise<(value: { readonly name: string }) => Exported> {
  const { name, entry: url, folder } = plugin;
  const module = Object.entries(await importModule({ name, url, folder }));
  return (value) => ({ name: value.name, exported: module.find(([key, exported]) => key !== "default" && exported === value)?.[0] });
}
