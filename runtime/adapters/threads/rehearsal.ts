/**
 * What every run of a thread goes through is compiled by V8 only after it has been gone through some hundred times: the first seconds of a
 * worker under load would be spent with that. So a thread that has loaded its skills rehearses first: events in each form, made up here, are
 * unpacked, decoded, run by a skill of one step and one emitted event, and reported, by a host and a reporter that nobody listens to. Where
 * skills of the thread call over HTTP, every other run makes such a call, over a connection in memory.
 * It takes `rehearsalMs`, and at most as long again until the last of it is heard, of a start that takes some hundreds.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import { MessageChannel } from "node:worker_threads";
import type { BodyCodec, WireForm } from "../../core/event-envelope.ts";
import { defineSkill } from "../../skills/author/define-skill.ts";
import { CallSites } from "../../skills/host/call-sites.ts";
import type { PreparedSkill } from "../../skills/host/prepared-skill.ts";
import type { ThreadOrder } from "../../skills/host/run-order.ts";
import { SkillHost, type SkillHostOptions } from "../../skills/host/skill-host.ts";
import { SkillLoopTimeCounter, skillLoopTimeBytes } from "./skill-loop-time.ts";
import { monotonicMs } from "./monotonic.ts";
import { type TicketedOrder, packOrders, unpackOrders } from "./orders.ts";
import { Reporter } from "./reporter.ts";
import { type RehearsedDependency, rehearsedDependency } from "./rehearsed-dependency.ts";
import { openReport } from "./reports.ts";
import { packr } from "./wire.ts";

/** No run begins later. */
const rehearsalMs = 150;
/** By then there is little left to compile. */
const roundsMax = 400;
/** Runs of one task. */
const runsAtOnce = 8;
const name = "rehearsal";
const eventType = "Rehearsed";
const version = "1.0";
const leaseMs = 60_000;

function skillWith(called: RehearsedDependency | undefined): PreparedSkill {
  let begun = 0;
  return {
    skill: defineSkill({
      name,
      handles: [{ eventType, versions: "1.x" }],
      uses: called === undefined ? [] : [called.dependency],
      async run(context) {
        const id = context.event.eventId;
        begun += 1;
        if (called !== undefined && begun % 2 === 0) {
          await context.step("call", { kind: "keyed" }, async (step) => {
            const { body } = await step.call(called.dependency, { method: "POST", path: `/orders/${id}`, body: context.event.payload });
            return body as object;
          });
        }
        const result = await context.step("step", { kind: "idempotent" }, () => ({ id, lines: [1, 2, 3] }));
        context.emit(eventType, { result, from: context.event.payload });
      },
    }),
    folder: undefined,
    checkPayload: (value) => ({ ok: true, value }),
    callSites: new CallSites([]),
    dependencies: new Map(called === undefined ? [] : [[called.prepared.name, called.prepared]]),
  };
}

/** A payload of some kilobytes, of what payloads are made of. */
const payload = {
  order: "o-1",
  note: 'größer "quoted" \\ 漢字',
  at: "2024-05-01T12:00:00Z",
  lines: Array.from({ length: 24 }, (_, line) => ({ line, sku: `sku-${line}`, price: line / 4, isTaxed: line % 2 === 0, parent: null, tags: ["a", "b"] })),
};

function canonical(eventId: string): object {
  const timestamp = "2024-05-01T12:00:00.000Z";
  return { eventId, eventType, traceId: "t", correlationId: "c", projectId: "p", originatingAgent: name, version, timestamp, payload };
}

function snake(id: string): object {
  const timestamp = "2024-05-01T12:00:00.000Z";
  return { event_id: id, event_type: eventType, trace_id: "t", correlation_id: "c", project_id: "p", originating_agent: name, version, timestamp, ...payload };
}

function cloudEvent(id: string): object {
  return { specversion: "1.0", id, type: eventType, source: name, time: "2024-05-01T12:00:00Z", traceid: "t", projectid: "p", data: payload };
}

const shapes: readonly (readonly [form: WireForm, of: (eventId: string) => object])[] = [
  ["canonical", canonical],
  ["snake", snake],
  ["cloudevents-structured", cloudEvent],
];

function encoded(codec: BodyCodec, event: object): Uint8Array {
  return codec === "json" ? Buffer.from(JSON.stringify(event)) : Uint8Array.from(packr.pack(event));
}

/** As the main thread hands them over; the form changes from event to event, most of them are JSON. */
function ordersFrom(first: number): readonly ThreadOrder[] {
  const orders = Array.from({ length: runsAtOnce }, (_, index): TicketedOrder => {
    const ticket = first + index;
    const eventId = `rehearsal-${ticket}`;
    const [form, of] = shapes[ticket % shapes.length] ?? ["canonical", canonical];
    const codec = index < 6 ? "json" : "msgpack";
    const body = encoded(codec, of(eventId));
    const order = {
      runId: ticket,
      skill: name,
      source: 0,
      route: { eventId, eventType, version, form, codec },
      body,
      contentEncoding: undefined,
      headers: undefined,
      enqueuedAtMs: Date.now(),
      epoch: 1,
      attempt: 1,
      generation: 0,
      leaseMs,
      timeoutMs: leaseMs,
      steps: [],
      apart: false,
      pipelineChanged: false,
      inDoubt: false,
      rejectedBy: [],
    } as const;
    return { ticket, order, body, leaseUntilMs: monotonicMs() + leaseMs };
  });
  return unpackOrders(packOrders(name, orders));
}

/** `retries`: memory that nobody else uses. */
export type RehearsalOptions = Pick<SkillHostOptions, "limits" | "retries" | "clock" | "random"> & {
  /** Skills of the thread call over HTTP. */
  readonly callsHttp: boolean;
  /** As the thread begins runs; answers with what there is to report by then. */
  readonly begin: (host: SkillHost, reporter: Reporter, orders: readonly ThreadOrder[]) => Promise<Uint8Array>;
};

/** Goes through runs until the time is over; resolves with how many have completed. */
export async function rehearse({ begin, callsHttp, ...options }: RehearsalOptions): Promise<number> {
  const called = callsHttp ? await rehearsedDependency(name) : undefined;
  const { port1, port2 } = new MessageChannel();
  const reporter = new Reporter(
    port1,
    { logLevel: undefined, traces: undefined },
    new SkillLoopTimeCounter(new SharedArrayBuffer(skillLoopTimeBytes(1)), [name], monotonicMs),
  );
  // Nothing of it is shared with the worker: neither circuits, nor retries, nor what its threads count.
  const host = new SkillHost({
    ...options,
    consumers: [name],
    agent: undefined,
    skills: new Map([[name, skillWith(called)]]),
    circuits: new Int32Array(1),
    sink: reporter.sink,
  });
  const untilMs = monotonicMs() + rehearsalMs;
  const runs = { begun: 0, ended: 0, completed: 0 };
  const hear = (bytes: Uint8Array): void => {
    const { rest } = openReport(bytes);
    runs.ended += rest.results.length;
    for (const { answer } of rest.results) if (answer.kind === "completed") runs.completed += 1;
    for (const { requestId } of rest.steps) host.acknowledge(requestId, "written");
  };
  port2.on("message", hear);
  for (let round = 0; round < roundsMax && monotonicMs() < untilMs; round += 1) {
    runs.begun += runsAtOnce;
    hear(await begin(host, reporter, ordersFrom(round * runsAtOnce)));
    await nextTurn();
  }
  // What is still on its way is heard before it is over.
  while (runs.ended < runs.begun && monotonicMs() < untilMs + rehearsalMs) await nextTurn();
  host.stop();
  called?.close();
  port1.close();
  port2.close();
  return runs.completed;
}
