/** What `holdfast debug` says: what is on record, what came of it now, and whether that is the same. */
import { relative } from "node:path";
import { counted } from "../core/counted.ts";
import { redactValue } from "../core/redact.ts";
import { placed } from "../skills/host/import-module.ts";
import { routeOfMessage } from "../testing/recorded-run.ts";
import type { Outside } from "../testing/outside.ts";
import type { Rerun } from "../testing/rerun.ts";
import type { Case } from "./debug-case.ts";
import { stepState } from "./runs-view.ts";

/** One failure, on record or now. */
export interface ShownFailure {
  readonly code: string;
  /** Empty where there is none, or it is not known. */
  readonly class: string;
  readonly step: string;
  /** `file:line:column`, relative to the plugin's folder. */
  readonly at: string;
  readonly description: string;
  readonly fingerprint?: string;
}

/** `mended`: it failed, and does not any more. `unknown`: nothing on record says how it ended. */
export type Comparison = "same failure" | "differs" | "mended" | "refused" | "unknown";

export interface Account {
  readonly eventId: string;
  readonly eventType: string;
  readonly skill: string;
  readonly folder: string;
  readonly from: string;
  readonly attempt: number;
  readonly recorded: ShownFailure | undefined;
  /** Of steps on record: how each stands. */
  readonly steps: readonly (readonly [name: string, state: string])[];
  readonly answersOnRecord: number;
  readonly outcome: "completed" | "dead-lettered" | "parked" | "refused";
  readonly now: ShownFailure | undefined;
  readonly comparison: Comparison;
  /** What differs, in words. */
  readonly differences: readonly string[];
  /** Calls that were made, and answered here. */
  readonly calls: readonly { readonly dependency: string; readonly step: string | undefined; readonly from: string; readonly key: string }[];
  /** What asked for something outside that is not on record. */
  readonly refused: readonly string[];
  /** Native code that was asked for: refused, unless it was let in. */
  readonly native: readonly string[];
  readonly logs: readonly { readonly level: string; readonly message: string; readonly fields: unknown }[];
}

/** The place at the end of a failure's description. */
export function placeIn(description: string): string {
  return /[(,] ?([^\s(),']+:\d+:\d+)\)/.exec(description)?.[1] ?? "";
}

const lineOf = (at: string): string => at.replace(/:\d+$/, "");

function differencesOf(recorded: ShownFailure, now: ShownFailure): readonly string[] {
  const found: string[] = [];
  const compare = (what: string, was: string, is: string): void => {
    if (was !== "" && was !== is) found.push(`${what} was ${was}, and is ${is || "none"}`);
  };
  compare("its code", recorded.code, now.code);
  compare("its class", recorded.class, now.class);
  compare("its step", recorded.step, now.step);
  compare("its line", lineOf(recorded.at), lineOf(now.at));
  // It leaves out what differs from one event to the next.
  if (found.length === 0 && recorded.fingerprint !== now.fingerprint && recorded.fingerprint !== undefined)
    found.push(`it said "${recorded.description}", and says "${now.description}"`);
  return found;
}

function relativeTo(folder: string, from: string): string {
  const [, file = "", rest = ""] = /^(.*?)((?::\d+){1,2})$/.exec(from) ?? [];
  return file === "" ? from : `${relative(folder, file)}${rest}`;
}

export function accountOf({ found, plugin, skill, run, answers, surroundings }: Case, again: Rerun, outside: Pick<Outside, "refused" | "native">): Account {
  const { message, failure, from } = found;
  const route = routeOfMessage(message, surroundings);
  const { folder } = plugin;
  const recorded = failure && { ...failure, at: placeIn(failure.description) };
  const report = again.kind === "ended" ? again.report : undefined;
  const now = report?.death && { ...report.death, at: placeIn(report.description), description: report.description };
  const refusedCall = again.kind === "refused" ? [`${again.why}${again.from === "" ? "" : ` (${relativeTo(folder, again.from)})`}`] : [];
  const refused = [...refusedCall, ...outside.refused.map((what) => `${what} was refused before it left: there is no record of it`)];
  const differences = recorded === undefined || now === undefined ? [] : differencesOf(recorded, now);
  return {
    eventId: route.ok ? route.route.eventId : message.messageId,
    eventType: route.ok ? route.route.eventType : "",
    skill: skill.name,
    folder,
    from,
    attempt: run.failuresBefore + 1,
    recorded,
    steps: run.steps.map((step) => [step.name, stepState(step)]),
    answersOnRecord: answers.length,
    outcome: report?.outcome ?? "refused",
    now,
    comparison: comparisonOf(recorded, now, refused, differences),
    differences,
    calls: (report?.calls ?? []).map(({ dependency, step, from: place, idempotencyKey: key }) => ({
      dependency,
      step,
      from: relativeTo(folder, place),
      key,
    })),
    refused,
    native: outside.native,
    logs: (report?.logs ?? []).map(({ level, message: text, fields }) => ({ level, message: text, fields: redactValue(fields) })),
  };
}

function comparisonOf(
  recorded: ShownFailure | undefined,
  now: ShownFailure | undefined,
  refused: readonly string[],
  differences: readonly string[],
): Comparison {
  if (refused.length > 0) return "refused";
  if (recorded === undefined) return "unknown";
  if (now === undefined) return "mended";
  return differences.length === 0 ? "same failure" : "differs";
}

export function plainAccount({ logs: _logs, ...account }: Account): Readonly<Record<string, unknown>> {
  return { ...account, steps: account.steps.map(([name, state]) => ({ name, state })) };
}

function describeFailure({ code, class: kind, step, at, description }: ShownFailure): string {
  const where = [kind, step === "" ? "" : `step '${step}'`, at].filter((text) => text !== "");
  return `${code}${where.length === 0 ? "" : `, ${where.join(", ")}`}\n            ${description}`;
}

function frameOf({ now, folder }: Account): readonly string[] {
  const [, file, line, column] = /^(.+):(\d+):(\d+)$/.exec(now?.at ?? "") ?? [];
  if (file === undefined) return [];
  const frame = placed({ file: `${folder}/${file}`, line: Number(line), column: Number(column) }, folder);
  return frame.includes("\n") ? [frame.slice(frame.indexOf("\n") + 1)] : [];
}

const verdicts: Readonly<Record<Comparison, (account: Account) => string>> = {
  "same failure": ({ recorded }) => `same failure${recorded?.at === "" ? "" : ", same line"}`,
  differs: ({ differences }) => `differs: ${differences.join("; ")}`,
  mended: () => "differs: it failed, and completes now",
  refused: ({ refused }) => `stopped: ${refused.join("; ")}`,
  unknown: () => "nothing on record says that it failed",
};

export function describeAccount(account: Account, letsNativeIn = false): string {
  const { eventId, eventType, skill, folder, from, attempt, recorded, steps, answersOnRecord, outcome, now, calls, logs, native } = account;
  const lines = [
    `event       ${eventId}${eventType === "" ? "" : `, ${eventType}`}, skill '${skill}' in ${folder}`,
    `from        ${from}; attempt ${attempt}`,
    ...(recorded === undefined ? [] : [`recorded    ${describeFailure(recorded)}`]),
    `on record   ${steps.length === 0 ? "no steps" : steps.map(([name, state]) => `step '${name}' ${state}`).join(", ")}; ${counted(answersOnRecord, "answer")} of calls`,
    ...logs.map(({ level, message, fields }) => `log         ${level} ${message}${fields === undefined ? "" : ` ${JSON.stringify(fields)}`}`),
    ...calls.map(
      ({ dependency, step, from: place, key }) =>
        `call        ${dependency}${step === undefined ? "" : ` in step '${step}'`}${place === "" ? "" : `, ${place}`}, idempotency key ${key}: answered here`,
    ),
    `now         ${now === undefined ? outcome : `${outcome}: ${describeFailure(now)}`}`,
    ...frameOf(account),
    verdicts[account.comparison](account),
    ...native.map((file) => `native      ${file}, ${letsNativeIn ? "let in: what it does nobody has held back" : "refused; --native lets it in"}`),
    "no connection, look-up, process or thread of the skill's own was started, and no file changed but temporary ones; store and queues were not changed",
  ];
  return `${lines.join("\n")}\n`;
}
