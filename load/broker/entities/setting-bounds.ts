// The bounds of what can be set on an entity: those of the service, the narrower ones of the vendor's emulator for who wants to be
// held to them, or none for tests and development. They hold whoever sets: a configuration, flags, `startBroker`, what was
// kept of an earlier run, and administration.
import { BrokerConfigError } from "./config-checks.ts";
import { checkCounts } from "./emulator-bounds.ts";
import type { EntitiesConfig } from "./entities-config.ts";

export type Bounding = "service" | "emulator" | "none";

/** @throws BrokerConfigError when both are wanted */
export function boundingOf({ strict = false, relaxed = false }: { readonly strict?: boolean; readonly relaxed?: boolean }): Bounding {
  if (strict && relaxed) throw new BrokerConfigError("strict and relaxed", "one of them: the first holds to the emulator's bounds, the other to none", "both");
  return strict ? "emulator" : relaxed ? "none" : "service";
}

interface Bound {
  readonly min: number;
  readonly max: number;
  /** How the service refuses what is beyond it; undefined = it would take it. */
  readonly refusal?: string;
}

type Bounds = Readonly<Record<string, Bound>>;

const minuteMs = 60_000;
const dayMs = 24 * 60 * minuteMs;

const serviceBounds: Bounds = {
  lockDurationMs: { min: 0, max: 5 * minuteMs, refusal: "The provided lock time exceeds the allowed maximum of '5' minutes." },
  autoDeleteOnIdleMs: { min: 5 * minuteMs, max: Infinity, refusal: "The value of AutoDeleteOnIdle must be at least '5' minutes." },
  duplicateWindowMs: { min: 20_000, max: 7 * dayMs, refusal: "The value of DuplicateDetectionHistoryTimeWindow must be between '20' seconds and '7' days." },
  userMetadata: { min: 0, max: 1024, refusal: "The length of UserMetadata exceeds the allowed maximum of '1024' characters." },
};

const emulatorBounds: Bounds = {
  ...serviceBounds,
  lockDurationMs: { min: 1, max: 5 * minuteMs },
  timeToLiveMs: { min: 1, max: 60 * minuteMs },
  duplicateWindowMs: { min: 20_000, max: 5 * minuteMs },
  deliveryCountMax: { min: 1, max: 10 },
};

const boundsOf: Readonly<Record<Bounding, Bounds>> = { service: serviceBounds, emulator: emulatorBounds, none: {} };

const lifting: Readonly<Record<Bounding, string>> = {
  service: "as Azure has it; the option --relaxed, in startBroker relaxed, lifts this",
  emulator: "as the emulator has it, which the option --strict asks for",
  none: "",
};

/** A setting that is out of its bounds: which one, what was expected and what was found. */
export interface Breach {
  readonly key: string;
  readonly expected: string;
  readonly found: number;
  readonly refusal: string | undefined;
}

/** The first setting that is out of its bounds; what is for ever is within them where there is no greatest. */
export function breachOf(settings: object, bounding: Bounding): Breach | undefined {
  const values = new Map<string, unknown>(Object.entries(settings));
  for (const [key, { min, max, refusal }] of Object.entries(boundsOf[bounding])) {
    const value = values.get(key);
    const size = typeof value === "string" ? value.length : value;
    if (typeof size !== "number" || (size >= min && size <= max)) continue;
    const what = typeof value === "string" ? " characters" : "";
    const range = min === 0 ? `at most ${max}` : max === Infinity ? `at least ${min}` : `${min} to ${max}`;
    return { key, expected: `${range}${what} (${lifting[bounding]})`, found: size, refusal };
  }
  return undefined;
}

/** @throws BrokerConfigError when entities are beyond the bounds */
export function checkBounds(entities: EntitiesConfig, bounding: Bounding): void {
  if (bounding === "emulator") checkCounts(entities);
  const { queues, topics } = entities;
  for (const entity of [...queues, ...topics.flatMap((topic) => [topic, ...topic.subscriptions])]) {
    const breach = breachOf(entity, bounding);
    if (breach !== undefined) throw new BrokerConfigError(`${entity.name}.${breach.key}`, breach.expected, breach.found);
  }
}
