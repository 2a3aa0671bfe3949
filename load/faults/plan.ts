/** What goes wrong, and when: a plan from a seed, as a file. `plans` holds some. */
import { z } from "zod";
import type { Clock } from "#runtime/core/clock.ts";
import type { FaultRequest } from "../broker/protocol/faults.ts";
import { faultKinds } from "../broker/protocol/faults.ts";
import { drawsOf } from "../generator/draw.ts";
import { readJsonFile } from "../read-json-file.ts";
import { type Behaviour, type BehaviourFields, behaviourSchema } from "../stand-ins/behaviour.ts";
import { toxicSchema, type Toxic } from "./toxics.ts";

const ms = z.number().min(0);
const kinds = Object.keys(faultKinds) as [FaultRequest["kind"], ...FaultRequest["kind"][]];

export type Trouble =
  /** The connections to one of the services that stand behind a proxy. */
  | { readonly of: "network"; readonly to: string; readonly toxic: Toxic }
  | { readonly of: "broker"; readonly kind: FaultRequest["kind"]; readonly rate?: number | undefined; readonly delayMs?: number | undefined }
  /** `kill`: SIGKILL, and started again at its end; `stop`: stands still meanwhile; `restart`: is asked to end, and started again at its end. */
  | { readonly of: "process"; readonly name: string; readonly deed: "kill" | "stop" | "restart" }
  | { readonly of: "dependency"; readonly name: string; readonly behaviour: BehaviourFields };

export interface PlanEntry {
  readonly about?: string | undefined;
  /** From the beginning of the plan. */
  readonly atMs: number;
  readonly lastsMs: number;
  /** Up to so much later, drawn from the seed. */
  readonly laterMs: number;
  /** As often in all, each time `everyMs` after the one before. */
  readonly times: number;
  readonly everyMs: number;
  readonly trouble: Trouble;
}

export interface Plan {
  readonly about: string;
  readonly seed: number;
  readonly entries: readonly PlanEntry[];
}

const troubleSchema: z.ZodType<Trouble> = z.discriminatedUnion("of", [
  z.strictObject({ of: z.literal("network"), to: z.string().min(1), toxic: toxicSchema }),
  z.strictObject({ of: z.literal("broker"), kind: z.enum(kinds), rate: z.number().min(0).max(1).optional(), delayMs: ms.optional() }),
  z.strictObject({ of: z.literal("process"), name: z.string().min(1), deed: z.enum(["kill", "stop", "restart"]) }),
  z.strictObject({ of: z.literal("dependency"), name: z.string().min(1), behaviour: behaviourSchema }),
]);

const entrySchema: z.ZodType<PlanEntry> = z.strictObject({
  about: z.string().min(1).optional(),
  atMs: ms,
  lastsMs: ms,
  laterMs: ms.default(0),
  times: z.number().int().min(1).max(1_000).default(1),
  everyMs: z.number().positive().default(1_000),
  trouble: troubleSchema,
});

const planSchema: z.ZodType<Plan> = z.strictObject({
  about: z.string().min(1),
  seed: z.number().int().min(0).default(1),
  entries: z.array(entrySchema).min(1),
});

export function readPlan(file: string): Plan {
  return readJsonFile(file, planSchema);
}

/** Of a plan as it would stand in a file. */
export function parsePlan(input: unknown): Plan {
  return planSchema.parse(input);
}

/** One beginning and end of a trouble. */
export interface Occurrence {
  readonly beginsMs: number;
  readonly endsMs: number;
  readonly trouble: Trouble;
}

const laterDraw = 1;

/** Everything that the plan says will happen, in the order in which it begins; the same each time. */
export function occurrencesOf({ seed, entries }: Plan): readonly Occurrence[] {
  const draw = drawsOf(seed);
  let number = 0;
  const all = entries.flatMap(({ atMs, lastsMs, laterMs, times, everyMs, trouble }) =>
    Array.from({ length: times }, (_, time): Occurrence => {
      const beginsMs = atMs + time * everyMs + draw(number++, laterDraw) * laterMs;
      return { beginsMs, endsMs: beginsMs + lastsMs, trouble };
    }),
  );
  return all.toSorted((a, b) => a.beginsMs - b.beginsMs);
}

/** What can be hurt: a proxy for each service by its name, the broker, processes and dependencies by theirs. */
export interface Victims {
  readonly proxies?: ReadonlyMap<string, { add(toxic: Toxic): Promise<number>; remove(id: number): Promise<void> }>;
  readonly broker?: { add(fault: FaultRequest): Promise<{ readonly id: number }>; remove(id: number): Promise<void> };
  readonly processes?: ReadonlyMap<string, { kill(): Promise<void>; stop(): Promise<void>; start(): Promise<void>; freeze(): void; thaw(): void }>;
  readonly dependencies?: { behave(name: string, behaviour: Partial<Behaviour>): Promise<void>; calm(name: string): Promise<void> };
}

function named<Victim>(what: string, all: ReadonlyMap<string, Victim> | undefined, name: string): Victim {
  const found = all?.get(name);
  if (found === undefined) throw new Error(`expected ${what} to be one of ${[...(all?.keys() ?? [])].join(", ") || "none"}, the plan names ${name}`);
  return found;
}

/** Makes the trouble; resolves with what ends it. */
export async function begin(trouble: Trouble, victims: Victims): Promise<() => Promise<void>> {
  switch (trouble.of) {
    case "network": {
      const proxy = named("a service behind a proxy", victims.proxies, trouble.to);
      const id = await proxy.add(trouble.toxic);
      return () => proxy.remove(id);
    }
    case "broker": {
      const { broker } = victims;
      if (broker === undefined) throw new Error("expected a broker that can be hurt, there is none");
      const { kind, rate, delayMs } = trouble;
      const { id } = await broker.add({ kind, ...(rate === undefined ? undefined : { rate }), ...(delayMs === undefined ? undefined : { delayMs }) });
      return () => broker.remove(id);
    }
    case "process": {
      const victim = named("a process", victims.processes, trouble.name);
      if (trouble.deed === "stop") {
        victim.freeze();
        return () => Promise.resolve(victim.thaw());
      }
      await (trouble.deed === "kill" ? victim.kill() : victim.stop());
      return () => victim.start();
    }
    case "dependency": {
      const { dependencies } = victims;
      if (dependencies === undefined) throw new Error("expected dependencies that can be hurt, there are none");
      await dependencies.behave(trouble.name, definedOf(trouble.behaviour));
      return () => dependencies.calm(trouble.name);
    }
  }
}

function definedOf(behaviour: Readonly<Record<string, unknown>>): Partial<Behaviour> {
  return Object.fromEntries(Object.entries(behaviour).filter(([, value]) => value !== undefined));
}

export interface Happened {
  readonly trouble: Trouble;
  /** By the clock's monotonic time. */
  readonly beganMs: number;
  endedMs: number | undefined;
}

/**
 * Carries a plan out; resolves with what happened when all has ended. What is under way at the signal is ended; so it is where one cannot
 * begin or end, and that is thrown then.
 */
export async function carryOutPlan(
  plan: Plan,
  victims: Victims,
  clock: Pick<Clock, "monotonicMs" | "after">,
  signal?: AbortSignal,
): Promise<readonly Happened[]> {
  const startMs = clock.monotonicMs();
  const failed = new AbortController();
  const over = signal === undefined ? failed.signal : AbortSignal.any([signal, failed.signal]);
  const until = (atMs: number): Promise<void> =>
    new Promise((resolve) => {
      const timer = clock.after(Math.max(0, startMs + atMs - clock.monotonicMs()), done);
      function done(): void {
        over.removeEventListener("abort", done);
        timer.cancel();
        resolve();
      }
      if (over.aborted) done();
      else over.addEventListener("abort", done);
    });
  const all: Happened[] = [];
  const happen = async ({ beginsMs, endsMs, trouble }: Occurrence): Promise<void> => {
    await until(beginsMs);
    if (over.aborted) return;
    const happened: Happened = { trouble, beganMs: clock.monotonicMs(), endedMs: undefined };
    all.push(happened);
    const end = await begin(trouble, victims);
    await until(endsMs);
    await end();
    happened.endedMs = clock.monotonicMs();
  };
  const failures: unknown[] = [];
  const fail = (error: unknown): void => {
    failures.push(error);
    failed.abort();
  };
  await Promise.all(occurrencesOf(plan).map((one) => happen(one).catch(fail)));
  if (failures.length > 0) throw failures[0];
  return all;
}
