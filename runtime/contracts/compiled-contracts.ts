/** Contracts as a thread checks by them: each is compiled once. Events that have none cost a look into a map. */
import type { ContractsSettings } from "../core/config/contracts.ts";
import { ConfigurationError, messageOf } from "../core/errors.ts";
import type { EventEnvelope } from "../core/event-envelope.ts";
import { probeEventType } from "../core/probe.ts";
import { PermanentError } from "../skills/author/errors.ts";
import type { Skill } from "../skills/author/define-skill.ts";
import type { PayloadSchema } from "../skills/author/schema.ts";
import { versionInRange } from "../skills/author/version-range.ts";
import { type Decoded, refuse } from "../skills/host/decode-body.ts";
import type { EventContracts, UpcastTable } from "../skills/host/event-contracts.ts";
import { type CheckPayload, compilePayloadCheck } from "../skills/host/payload.ts";
import { openRegistry } from "./read-contracts.ts";
import { type ContractRegistry, type ContractType, type UpcastStep, majorOf, reachOf, upcastsOf } from "./registry.ts";

/** What an upcaster is given of an event. */
type ConvertedEvent = Pick<EventEnvelope, "eventType" | "version" | "payload">;

interface CompiledVersion {
  /** As errors name it. */
  readonly named: string;
  readonly schema: PayloadSchema<unknown>;
  readonly check: CheckPayload;
}

interface CompiledType {
  readonly type: ContractType;
  readonly versions: ReadonlyMap<string, CompiledVersion>;
}

/** Reads and compiles the contracts of a worker; `folder` is absolute. Throws `ConfigurationError`. */
export async function openContracts({ folder, unknown }: ContractsSettings): Promise<CompiledContracts> {
  const registry = await openRegistry(folder);
  if (registry.types.size === 0)
    throw new ConfigurationError(
      `contracts: expected contracts in ${folder}, such as <EventType>/1.0.json, found none; write one, or take 'contracts' out of the configuration`,
    );
  return compileContracts(registry, unknown);
}

export async function compileContracts(registry: ContractRegistry, unknown: ContractsSettings["unknown"]): Promise<CompiledContracts> {
  const types = new Map<string, CompiledType>();
  for (const [eventType, type] of registry.types) {
    const versions = new Map<string, CompiledVersion>();
    for (const { version, schema, file } of type.versions) {
      const named = `contract ${eventType} ${version}`;
      versions.set(version, { named, schema, check: await compilePayloadCheck(named, schema, file) });
    }
    types.set(eventType, { type, versions });
  }
  return new CompiledContracts(types, unknown);
}

export class CompiledContracts implements EventContracts, UpcastTable {
  readonly #types: ReadonlyMap<string, CompiledType>;
  readonly #unknown: ContractsSettings["unknown"];

  constructor(types: ReadonlyMap<string, CompiledType>, unknown: ContractsSettings["unknown"]) {
    this.#types = types;
    this.#unknown = unknown;
  }

  receive(event: EventEnvelope, skill: Pick<Skill, "handles" | "payload">): Decoded<EventEnvelope> {
    const { eventType, version, payload } = event;
    const compiled = this.#types.get(eventType);
    const contract = compiled?.versions.get(version);
    // What workers send each other to see whether messages come through is nobody's event.
    if (contract === undefined && this.#unknown === "refuse" && eventType !== probeEventType)
      return refuse("InvalidPayload", this.#withoutContract(eventType, version));
    if (compiled === undefined) return { ok: true, value: event };
    // A skill that checks by the very same schema does it anyway.
    const checked = contract === undefined || contract.schema === skill.payload ? undefined : checkAtOnce(contract, payload);
    if (checked?.ok === false) return checked;
    if (compiled.type.upcasters.size === 0 || handles(skill, eventType, version)) return { ok: true, value: event };
    const steps = upcastsOf(compiled.type, majorOf(version));
    const last = steps.findIndex((step) => handles(skill, eventType, step.version.version));
    if (last < 0) return { ok: true, value: event };
    return { ok: true, value: steps.slice(0, last + 1).reduce((before, step) => this.#upcast(before, step), event) };
  }

  reach(eventType: string, version: string): readonly string[] {
    const compiled = this.#types.get(eventType);
    return compiled === undefined ? [] : reachOf(compiled.type, version);
  }

  checkEmitted(eventType: string, version: string, payload: unknown): void {
    const compiled = this.#types.get(eventType);
    const contract = compiled?.versions.get(version);
    if (contract === undefined) {
      // Whoever has contracts of a type has one of what it emits.
      if (compiled !== undefined || this.#unknown === "refuse") throw new ConfigurationError(this.#withoutContract(eventType, version));
      return;
    }
    const checked = checkAtOnce(contract, asJson(payload));
    if (!checked.ok) throw new ConfigurationError(checked.invalid.description);
  }

  /** Undefined where there is no contract of this version. */
  schemaOf(eventType: string, version: string): PayloadSchema<unknown> | undefined {
    return this.#types.get(eventType)?.versions.get(version)?.schema;
  }

  /** Checks a payload that is kept as an example: what is wrong with it, or undefined. */
  describeFault(eventType: string, version: string, payload: unknown): string | undefined {
    const contract = this.#types.get(eventType)?.versions.get(version);
    if (contract === undefined) return undefined;
    let checked: Decoded<unknown>;
    try {
      checked = checkAtOnce(contract, payload);
    } catch (error) {
      if (error instanceof ConfigurationError) return error.message;
      throw error;
    }
    return checked.ok ? undefined : checked.invalid.description;
  }

  /** Converts by one upcaster. What it is given is what its contract says: what goes wrong is its own fault. */
  #upcast(event: EventEnvelope, step: UpcastStep): EventEnvelope {
    const payload = convertPayload(event, step);
    const { version } = step.version;
    const fault = this.describeFault(event.eventType, version, payload);
    if (fault !== undefined) throw upcastFailed(step, event, `returned what is none: ${fault}`);
    return { ...event, version, payload };
  }

  #withoutContract(eventType: string, version: string): string {
    const compiled = this.#types.get(eventType);
    if (compiled === undefined)
      return `contract ${eventType} ${version}: expected the event to have a contract, found none of its type; add ${eventType}/${version}.json to the contracts`;
    const known = [...compiled.versions.keys()].join(", ");
    return `contract ${eventType} ${version}: expected a version that has a contract (${known}), found none of ${version}; name another version, or add its contract`;
  }
}

function handles(skill: Pick<Skill, "handles">, eventType: string, version: string): boolean {
  return skill.handles.some((one) => one.eventType === eventType && one.versions.some((range) => versionInRange(version, range)));
}

/** A contract answers at once: `emit` cannot wait for it. */
function checkAtOnce({ named, check }: CompiledVersion, payload: unknown): Decoded<unknown> {
  const checked = check(payload);
  if (!(checked instanceof Promise)) return checked;
  checked.catch(() => undefined);
  throw new ConfigurationError(
    `${named}: expected a schema that answers at once, got one that answers later; leave asynchronous refinements to the skill's own payload schema`,
  );
}

/** What is sent: dates are texts by then, and what is undefined is not there. */
function asJson(payload: unknown): unknown {
  return JSON.parse(JSON.stringify(payload)) as unknown;
}

/** By one upcaster, unchecked. Throws a `PermanentError`, `UPCAST_FAILED`. */
export function convertPayload(event: ConvertedEvent, step: UpcastStep): unknown {
  let payload: unknown;
  try {
    payload = step.upcaster.convert(event.payload);
  } catch (cause) {
    throw upcastFailed(step, event, `threw: ${messageOf(cause)}`, cause);
  }
  if (payload instanceof Promise) {
    payload.catch(() => undefined);
    throw upcastFailed(step, event, "returned a promise: it must be a pure function that answers at once");
  }
  return payload;
}

function upcastFailed({ upcaster: { file }, version }: UpcastStep, event: ConvertedEvent, what: string, cause?: unknown): PermanentError {
  return new PermanentError(`upcaster ${file}: expected a payload of ${event.eventType} ${version.version} made of one of ${event.version}, it ${what}`, {
    code: "UPCAST_FAILED",
    ...(cause === undefined ? {} : { cause }),
  });
}
