// A skill host on the test's own thread: orders go in, answers and step requests come out.
import { systemClock } from "#runtime/adapters/system/clock.ts";
import type { TestContext } from "node:test";
import type { Usage } from "../../runtime/core/limits.ts";
import type { CallReport, RunAnswer } from "../../runtime/core/outcome.ts";
import { defaultDecodeLimits } from "../../runtime/core/read-route.ts";
import type { StepRecord } from "../../runtime/core/run.ts";
import type { Settings, Skill, SkillMessage } from "../../runtime/index.ts";
import { ThreadSettingsTable } from "../../runtime/skills/host/settings.ts";
import type { RunTrace, SamplingPolicy } from "../../runtime/core/spans.ts";
import { RetryLedger, retryLedgerBytes } from "../../runtime/policy/retry-ledger.ts";
import { type DependencySettings, type PreparedSkill, prepareSkills } from "../../runtime/skills/host/prepared-skill.ts";
import type { EventContracts } from "../../runtime/skills/host/event-contracts.ts";
import type { ResourceListener } from "../../runtime/skills/host/resources.ts";
import type { SkillLogLine } from "../../runtime/skills/host/run-log.ts";
import type { ThreadOrder } from "../../runtime/skills/host/run-order.ts";
import { SkillHost } from "../../runtime/skills/host/skill-host.ts";
import { envelope, json } from "../support/event-messages.ts";
import { within } from "../support/eventually.ts";

export interface Answered {
  readonly answer: RunAnswer;
  /** Without how long they took. */
  readonly calls: readonly CallReport[];
  /** How long they took, by dependency. */
  readonly latenciesMs: ReadonlyMap<string, number>;
  /** Where it is reported as spans. */
  readonly trace?: RunTrace;
}

export interface HostBundle {
  readonly host: SkillHost;
  readonly circuits: Int32Array;
  /** A thousand are allowed. */
  readonly retries: RetryLedger;
  readonly logs: SkillLogLine[];
  /** Every step request, in order. */
  readonly steps: StepRecord[];
  /** What the store answers from now on; `hold` lets no answer go until it is changed. */
  store: "written" | "stale" | "unavailable" | "hold";
  /** What runs asked for beyond their allowance, in order. */
  readonly needs: { readonly requestId: number; readonly dependency: number; readonly usage: Usage; readonly waitMaxMs: number }[];
  /** After how long there will be something for those that ask; 0 lets them pass, undefined leaves them to the test. */
  afterMs: number | undefined;
  /** Of the session: null for none, undefined when the broker does not give it; `hold` lets no answer go. */
  state: Uint8Array | null | undefined | "hold";
  /** How often it was asked for. */
  stateAsks: number;
  /** What a run is told of its message; undefined when the worker cannot tell. */
  message: SkillMessage | undefined;
  messageAsks: number;
  /** How long the run that ended last had waited until its steps were recorded. */
  recordingMs: number;
  /** Moves the clock. */
  skewMs: number;
  /** Where its clock stands still: what a test shows must not depend on how busy the machine is. */
  stillAtMs: number | undefined;
  /** Starts a run and waits for its answer. */
  run(order?: Partial<ThreadOrder>): Promise<Answered>;
  /** Starts a run; its answer is a promise. */
  begin(order?: Partial<ThreadOrder>): { readonly runId: number; readonly answered: Promise<Answered> };
}

/** Makes a host that ends with the test. */
export async function makeHost(
  t: TestContext,
  skills: readonly Skill[],
  settings: DependencySettings = { numbered: [], config: new Map() },
  traces?: SamplingPolicy,
  resources: ResourceListener = {},
  told: ReadonlyMap<Settings<unknown>, unknown> = new Map(),
  contracts?: EventContracts,
  folder?: string,
): Promise<HostBundle> {
  const waiting = new Map<number, (answered: Answered) => void>();
  const circuits = new Int32Array(8);
  const retryMemory = new ArrayBuffer(retryLedgerBytes);
  const retries = new RetryLedger(retryMemory);
  retries.allow(0, 1_000);
  let lastRunId = 0;
  const table = new ThreadSettingsTable();
  for (const [token, values] of told) table.set(token, values);
  const prepared = new Map<string, PreparedSkill>();
  const host = new SkillHost({
    settings: table,
    resources,
    contracts,
    consumers: ["orders"],
    agent: undefined,
    limits: defaultDecodeLimits,
    skills: prepared,
    circuits,
    retries: retryMemory,
    clock: {
      ...systemClock,
      monotonicMs: () => (bundle.stillAtMs ?? performance.now()) + bundle.skewMs,
      wallMs: () => Date.UTC(2024, 4, 1),
    },
    random: () => 0,
    traces,
    sink: {
      result: (runId, answer, calls, _durationMs, recordingMs, trace) => {
        bundle.recordingMs = recordingMs;
        const latenciesMs = new Map(calls.flatMap(({ dependency, latencyMs }) => (latencyMs === undefined ? [] : [[dependency, latencyMs]])));
        waiting.get(runId)?.({ answer, calls: calls.map(({ latencyMs: _, ...call }) => call), latenciesMs, ...(trace && { trace }) });
        waiting.delete(runId);
      },
      step: (_runId, requestId, step) => {
        bundle.steps.push(step);
        if (bundle.store !== "hold") host.acknowledge(requestId, bundle.store);
      },
      usage: (_runId, requestId, dependency, usage, waitMaxMs) => {
        bundle.needs.push({ requestId, dependency, usage, waitMaxMs });
        if (bundle.afterMs !== undefined) host.allow(requestId, bundle.afterMs);
      },
      question: (_runId, requestId, about) => {
        if (about === "message") {
          bundle.messageAsks += 1;
          host.answer(requestId, bundle.message);
          return;
        }
        bundle.stateAsks += 1;
        if (bundle.state !== "hold") host.answer(requestId, bundle.state);
      },
      log: (line) => bundle.logs.push(line),
      worked: () => {},
    },
  });
  const time = async <Result>(_skill: string, _part: string, work: () => Promise<Result> | Result): Promise<Result> => work();
  for (const [name, skill] of await prepareSkills(skills, settings, time, { folderOf: () => folder, info: host.resources.info })) prepared.set(name, skill);
  t.after(() => host.stop());
  const bundle: HostBundle = {
    host,
    circuits,
    retries,
    logs: [],
    steps: [],
    store: "written",
    needs: [],
    afterMs: 0,
    state: null,
    stateAsks: 0,
    message: undefined,
    messageAsks: 0,
    recordingMs: 0,
    skewMs: 0,
    stillAtMs: undefined,
    begin(order) {
      lastRunId += 1;
      const runId = order?.runId ?? lastRunId;
      const answered = new Promise<Answered>((resolve) => waiting.set(runId, resolve));
      host.start({ ...defaultOrder(skills[0]?.name ?? ""), leaseUntilMs: performance.now() + bundle.skewMs + 60_000, ...order, runId });
      return { runId, answered: within("an answer", answered) };
    },
    run: (order) => bundle.begin(order).answered,
  };
  return bundle;
}

function defaultOrder(skill: string): Omit<ThreadOrder, "runId" | "leaseUntilMs"> {
  const { eventId, eventType, version } = envelope;
  return {
    skill,
    route: { eventId, eventType, version, form: "canonical", codec: "json" },
    body: json(envelope),
    contentEncoding: undefined,
    headers: undefined,
    enqueuedAtMs: Date.UTC(2024, 4, 1),
    epoch: 3,
    attempt: 1,
    generation: 0,
    source: 0,
    timeoutMs: 30_000,
    steps: [],
    pipelineChanged: false,
    inDoubt: false,
    rejectedBy: [],
  };
}
