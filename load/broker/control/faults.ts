// Faults over the control endpoint: `GET /faults`, `POST /faults` with a request as JSON, `DELETE /faults` and `/faults/<id>`.
import { type FaultKind, faultKinds, type FaultReport, type FaultRequest, type Faults, faultsMax } from "../protocol/faults.ts";

/** A request that cannot be served; the message says what was expected and what was found. */
export class ControlRequestError extends Error {
  readonly code = "ControlRequest";
}

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

/** @param rest the path after `/faults` */
export function answerFaults(faults: Faults, method: string, rest: string, body: string): Answer {
  const id = rest === "" ? undefined : Number(rest.slice(1));
  if (id !== undefined && !Number.isSafeInteger(id)) return { status: 404, body: { error: `expected the number of a fault, found ${rest.slice(1)}` } };
  if (method === "GET") return { status: 200, body: { faults: faults.list().filter((fault) => id === undefined || fault.id === id) } };
  if (method === "DELETE") return { status: 200, body: { cleared: faults.clear(id) } };
  if (method !== "POST" || id !== undefined) return { status: 405, body: { error: `expected GET, POST or DELETE, found ${method}` } };
  if (faults.size >= faultsMax) return { status: 409, body: { error: `expected at most ${faultsMax} faults; clear some` } };
  const report: FaultReport = faults.add(readFault(body));
  return { status: 201, body: report };
}

const faultKindNames = Object.keys(faultKinds) as FaultKind[];

const numbers: ReadonlyMap<string, readonly [min: number, max: number]> = new Map([
  ["rate", [0, 1]],
  ["seed", [0, 2 ** 32 - 1]],
  ["count", [1, Number.MAX_SAFE_INTEGER]],
  ["durationMs", [1, 2 ** 31 - 1]],
  ["delayMs", [0, 2 ** 31 - 1]],
]);

/** @throws ControlRequestError when it is not a fault */
export function readFault(body: string): FaultRequest {
  const fields = parse(body);
  const { kind: said, target, ...rest } = fields;
  const kind = typeof said === "string" ? kindOf(said) : undefined;
  if (kind === undefined) throw new ControlRequestError(`kind: expected one of ${Object.keys(faultKinds).join(", ")}, found ${JSON.stringify(said)}`);
  if (target !== undefined && typeof target !== "string") throw new ControlRequestError(`target: expected an entity's path, found ${JSON.stringify(target)}`);
  for (const [name, value] of Object.entries(rest)) {
    const [min, max] = numbers.get(name) ?? [];
    if (min === undefined || max === undefined) throw new ControlRequestError(`${name}: expected one of kind, target, ${[...numbers.keys()].join(", ")}`);
    if (typeof value !== "number" || !(value >= min && value <= max))
      throw new ControlRequestError(`${name}: expected a number from ${min} to ${max}, found ${JSON.stringify(value)}`);
  }
  return { kind, ...(target === undefined ? {} : { target }), ...(rest as Omit<FaultRequest, "kind" | "target">) };
}

/** `loseSettlements`, or `lose-settlements`. */
function kindOf(said: string): FaultKind | undefined {
  const wanted = said.replaceAll("-", "").toLowerCase();
  return faultKindNames.find((kind) => kind.toLowerCase() === wanted);
}

function parse(body: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch (error) {
    throw new ControlRequestError(`expected a fault as JSON, found ${(error as Error).message}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new ControlRequestError(`expected a fault as a JSON object, found ${body.slice(0, 100)}`);
  return value as Readonly<Record<string, unknown>>;
}
