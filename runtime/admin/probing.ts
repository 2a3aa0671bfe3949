/**
 * Synthetic transactions: sends a probe to a source, by request or by schedule, and waits for whichever worker of the pool settles it.
 *
 *   under-way ──▶ completed | passed-by | failed
 *       │ ▲
 *       ▼ │ (it comes late)
 *     timed-out
 *
 * The schedule sends no further one to a source whose last has not come back, but now and then: what is stuck does not fill the queue.
 */
import type { Clock } from "../core/clock.ts";
import type { OutgoingMessage } from "../core/delivery.ts";
import { messageOf } from "../core/errors.ts";
import type { MetricSample } from "../core/metric-catalogue.ts";
import { probeMessage, type ProbeReport, type ProbeStage, probeStages } from "../core/probe.ts";
import { change, type Operation, read } from "./operations.ts";
import { Problem } from "./problem.ts";
import type { ProbeReports } from "./probe-reports.ts";

/** Where probes are sent, of one source. */
export interface ProbeTarget {
  /** The source's name. */
  readonly source: string;
  readonly entity: string;
  /** The entity takes messages of sessions alone. */
  readonly asksForSession: boolean;
}

export const probeResults = ["completed", "passed-by", "failed", "timed-out"] as const;
type ProbeResult = (typeof probeResults)[number];

export interface ProbeView {
  readonly id: string;
  readonly source: string;
  readonly entity: string;
  /** Who asked for it; `schedule`. */
  readonly who: string;
  readonly sentAt: string;
  readonly state: "under-way" | ProbeResult;
  /** Why it has not completed; empty where nothing is wrong with it. */
  readonly why: string;
  /** Which worker has settled it; empty while none has. */
  readonly settledBy: string;
  /** From the broker's enqueue time to settlement; null while it is not settled. */
  readonly criticalMs: number | null;
  readonly stagesMs: Readonly<Partial<Record<ProbeStage, number>>>;
}

export interface ProbesOptions {
  readonly workerId: string;
  readonly targets: readonly ProbeTarget[];
  readonly policy: { readonly everyMs?: number | undefined; readonly timeoutMs: number };
  readonly clock: Clock;
  readonly reports: ProbeReports;
  /** As many hexadecimal digits as that. */
  readonly randomId: (digits: number) => string;
  /** Of the source's consumer. */
  readonly secret: (source: string) => Promise<string>;
  readonly send: (entity: string, message: OutgoingMessage) => Promise<void>;
  /** The worker takes messages, so that the schedule's probes are waited for by somebody. */
  readonly mayProbe: () => boolean;
  /** What is known of a probe that does not come back. */
  readonly look: (source: string, eventId: string) => Promise<string>;
  /** The record of a probe that has come back is of no use. */
  readonly forget: (source: string, eventId: string) => Promise<void>;
  /** One has come back. */
  readonly measured: (source: string, stagesMs: ProbeView["stagesMs"], criticalMs: number) => void;
  /** One has ended, or is late. */
  readonly tell: (probe: ProbeView) => void;
}

/** What was asked for last is remembered. */
const probesMax = 100;
/** How soon what another worker settles is noticed. */
const lookEveryMs = 250;
/** Of one that is late, with pauses that double up to this. */
const lookLateMaxMs = 10_000;
/** A probe that is stuck keeps the schedule from sending another to its source for so long. */
const stuckMaxMs = 600_000;
const idDigits = 16;
const traceDigits = 32;

interface Counts {
  readonly results: Record<ProbeResult, number>;
  lastSuccessMs: number | undefined;
}

export class Probes {
  readonly #options: ProbesOptions;
  readonly #known: ProbeView[] = [];
  readonly #counts: ReadonlyMap<string, Counts>;
  /** The last that was sent to each source, while it has not come back. */
  readonly #open = new Map<string, { readonly id: string; readonly sentMs: number }>();
  readonly #stopping = new AbortController();
  readonly #underWay = new Set<Promise<void>>();
  #cancelNext: (() => void) | undefined;

  constructor(options: ProbesOptions) {
    this.#options = options;
    this.#counts = new Map(
      options.targets.map(({ source }) => [source, { results: { completed: 0, "passed-by": 0, failed: 0, "timed-out": 0 }, lastSuccessMs: undefined }]),
    );
  }

  start(): void {
    const { everyMs } = this.#options.policy;
    if (everyMs !== undefined) this.#schedule(everyMs);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#cancelNext?.();
    await Promise.allSettled(this.#underWay);
  }

  /** The last one first. */
  list(): readonly ProbeView[] {
    return this.#known.toReversed();
  }

  /** Answers as soon as it is on its way. Throws `Problem`. */
  ask(source: string | undefined, who: string): ProbeView {
    const { targets, mayProbe } = this.#options;
    const names = targets.map((target) => target.source);
    const chosen = source ?? (names.length === 1 ? names[0] : undefined);
    const target = targets.find((one) => one.source === chosen);
    if (target === undefined)
      throw new Problem("bad-request", `expected source to be one of ${names.join(", ")}, found ${source === undefined ? "none" : `'${source}'`}`);
    if (!mayProbe()) throw new Problem("conflict", "expected a worker that takes messages, found one that is paused, starts or stops; ask another one");
    return this.#begin(target, who);
  }

  operations(): readonly (readonly [string, Operation])[] {
    return [
      ["listProbes", read(() => ({ body: this.list() }))],
      ["getProbe", read(({ params: { id = "" } }) => ({ body: this.#get(id) }))],
      [
        "startProbe",
        change(({ query, caller }) => {
          const probe = this.ask(query["source"], caller.who);
          return { status: 202, location: `/api/v1/probes/${probe.id}`, body: probe, target: probe.source, before: null, after: { probe: probe.id } };
        }),
      ],
    ];
  }

  samples(): readonly MetricSample[] {
    return Array.from(this.#counts).flatMap(([source, { results, lastSuccessMs }]): MetricSample[] => [
      ...probeResults.map((result): MetricSample => ({ name: "holdfast_probes_total", labels: { source, result }, value: results[result] })),
      ...(lastSuccessMs === undefined
        ? []
        : [{ name: "holdfast_probe_last_success_timestamp_seconds", labels: { source }, value: lastSuccessMs / 1_000 } as const]),
    ]);
  }

  #get(id: string): ProbeView {
    const found = this.#known.find((probe) => probe.id === id);
    if (found === undefined) throw new Problem("not-found", `expected a probe that was sent here, found none '${id}'`);
    return found;
  }

  #schedule(everyMs: number): void {
    const { clock, targets, mayProbe } = this.#options;
    const timer = clock.after(everyMs, () => {
      if (this.#stopping.signal.aborted) return;
      if (mayProbe()) for (const target of targets) this.#beginAgain(target);
      this.#schedule(everyMs);
    });
    this.#cancelNext = () => timer.cancel();
  }

  #beginAgain(target: ProbeTarget): void {
    const open = this.#open.get(target.source);
    if (open === undefined || this.#options.clock.monotonicMs() - open.sentMs > stuckMaxMs) this.#begin(target, "schedule");
    else if (this.#known.find(({ id }) => id === open.id)?.state === "timed-out") this.#counted(target.source).results["timed-out"] += 1;
  }

  #begin(target: ProbeTarget, who: string): ProbeView {
    const { clock, randomId } = this.#options;
    const { source, entity } = target;
    const id = randomId(idDigits);
    const head = { id, source, entity, who, sentAt: new Date(clock.wallMs()).toISOString() };
    const probe: ProbeView = { ...head, state: "under-way", why: "", settledBy: "", criticalMs: null, stagesMs: {} };
    this.#known.push(probe);
    if (this.#known.length > probesMax) this.#known.shift();
    this.#open.set(source, { id, sentMs: clock.monotonicMs() });
    const underWay = this.#carryOut(target, probe).catch((error: unknown) => this.#ended(probe, "failed", { why: messageOf(error, 300) }));
    this.#underWay.add(underWay);
    void underWay.finally(() => this.#underWay.delete(underWay));
    return probe;
  }

  async #carryOut({ source, entity, asksForSession }: ProbeTarget, probe: ProbeView): Promise<void> {
    const { clock, workerId, randomId, secret: secretOf, send, reports, look, forget, measured, policy } = this.#options;
    const eventId = `holdfast-probe-${probe.id}`;
    const ended = Promise.withResolvers<ProbeReport>();
    const endWaiting = reports.await(eventId, ended.resolve);
    try {
      const secret = await secretOf(source);
      const beganMs = clock.monotonicMs();
      const sessionId = asksForSession ? eventId : undefined;
      const timestamp = new Date(clock.wallMs()).toISOString();
      await send(entity, probeMessage({ eventId, secret, workerId, timestamp, traceId: randomId(traceDigits), sessionId }));
      const sendMs = clock.monotonicMs() - beganMs;
      let report = await this.#heard(eventId, ended.promise, policy.timeoutMs);
      if (report === undefined && !this.#stopping.signal.aborted) {
        const why = `it was not settled within ${policy.timeoutMs / 1_000} s: ${await look(source, eventId)}`;
        this.#ended(probe, "timed-out", { why, stagesMs: { send: sendMs } });
        report = await this.#heard(eventId, ended.promise, stuckMaxMs, lookLateMaxMs);
      }
      if (report === undefined) return;
      const stagesMs = { send: sendMs, ...report.stagesMs };
      const { criticalMs, by: settledBy } = report;
      const result = resultOf(report);
      if (result === "completed") measured(source, stagesMs, criticalMs);
      this.#ended(probe, result, { why: report.failure || (report.passedBy ?? ""), settledBy, criticalMs, stagesMs });
      if (result === "completed") await forget(source, eventId);
    } finally {
      endWaiting();
    }
  }

  /** Undefined when it has not ended in time, or the worker stops. */
  async #heard(eventId: string, here: Promise<ProbeReport>, withinMs: number, pauseMaxMs = lookEveryMs): Promise<ProbeReport | undefined> {
    const { clock, reports } = this.#options;
    const untilMs = clock.monotonicMs() + withinMs;
    const signal = this.#stopping.signal;
    let pauseMs = lookEveryMs;
    while (!signal.aborted && clock.monotonicMs() < untilMs) {
      const report = await Promise.race([here, this.#pause(Math.min(pauseMs, untilMs - clock.monotonicMs()))]);
      pauseMs = Math.min(pauseMaxMs, pauseMs * 2);
      const found = report ?? (await reports.heard(eventId));
      if (found !== undefined) return found;
    }
    return undefined;
  }

  #pause(ms: number): Promise<undefined> {
    const { signal } = this.#stopping;
    return new Promise((resolve) => {
      const stop = (): void => {
        timer.cancel();
        resolve(undefined);
      };
      const timer = this.#options.clock.after(ms, () => {
        signal.removeEventListener("abort", stop);
        resolve(undefined);
      });
      signal.addEventListener("abort", stop, { once: true });
    });
  }

  /** A late one that comes back was counted as late, and is counted once more as what it came to. */
  #ended(probe: ProbeView, state: ProbeResult, news: Partial<ProbeView>): void {
    const { source, id } = probe;
    const at = this.#known.findIndex((one) => one.id === id);
    const now = { ...probe, ...news, state };
    if (at >= 0) this.#known[at] = now;
    if (state !== "timed-out" && this.#open.get(source)?.id === id) this.#open.delete(source);
    const counts = this.#counted(source);
    counts.results[state] += 1;
    if (state === "completed") counts.lastSuccessMs = this.#options.clock.wallMs();
    this.#options.tell(now);
  }

  #counted(source: string): Counts {
    const counts = this.#counts.get(source);
    if (counts === undefined) throw new RangeError(`expected a source that is probed, got '${source}'`);
    return counts;
  }
}

function resultOf({ failure, passedBy }: ProbeReport): ProbeResult {
  if (failure !== "") return "failed";
  return passedBy === undefined ? "completed" : "passed-by";
}

/** For people to read. */
export function describeStages(stagesMs: ProbeView["stagesMs"]): string {
  const known = probeStages.flatMap((stage) => (stagesMs[stage] === undefined ? [] : [`${stage} ${Math.round(stagesMs[stage])} ms`]));
  return known.join(", ");
}
