// Reads a delivery state as rhea decoded it, keeping the values inside it encoded.
import { createRequire } from "node:module";
import type { EncodedFields, Outcome } from "../protocol/wire.ts";
import type { RheaTyped } from "./rhea-internals.ts";

interface RheaWriter {
  write(value: RheaTyped): void;
  toBuffer(): Buffer;
}

const rhea = createRequire(import.meta.url)("rhea") as { types: { Writer: new () => RheaWriter } };

const descriptors = { accepted: 0x24, rejected: 0x25, released: 0x26, modified: 0x27, error: 0x1d };

const named: ReadonlyMap<unknown, number> = new Map<unknown, number>([
  ["amqp:accepted:list", descriptors.accepted],
  ["amqp:rejected:list", descriptors.rejected],
  ["amqp:released:list", descriptors.released],
  ["amqp:modified:list", descriptors.modified],
]);

const acceptedOutcome: Outcome = { kind: "accepted" };
const releasedOutcome: Outcome = { kind: "released" };

/** The outcome in a delivery state; undefined when there is none, or one that does not end a delivery. */
export function readOutcome(state: RheaTyped | undefined): Outcome | undefined {
  const descriptor = state?.descriptor?.value;
  if (state === undefined || descriptor === undefined) return undefined;
  const code = typeof descriptor === "number" ? descriptor : named.get(descriptor);
  switch (code) {
    case descriptors.accepted:
      return acceptedOutcome;
    case descriptors.released:
      return releasedOutcome;
    case descriptors.modified: {
      const [, undeliverableHere, annotations] = itemsOf(state);
      return { kind: "modified", undeliverableHere: Boolean(undeliverableHere?.value), annotations: encodedFields(annotations) };
    }
    case descriptors.rejected: {
      const [error] = itemsOf(state);
      return { kind: "rejected", info: encodedFields(itemsOf(error)[2]) };
    }
    default:
      return undefined;
  }
}

function itemsOf(value: RheaTyped | undefined): readonly (RheaTyped | undefined)[] {
  return Array.isArray(value?.value) ? (value.value as RheaTyped[]) : [];
}

/** The entries of a decoded map, each value encoded again. */
function encodedFields(map: RheaTyped | undefined): EncodedFields | undefined {
  const items = itemsOf(map);
  if (items.length === 0) return undefined;
  const fields = new Map<string, Buffer>();
  for (let i = 0; i + 1 < items.length; i += 2) {
    const value = items[i + 1];
    if (value === undefined) continue;
    const writer = new rhea.types.Writer();
    writer.write(value);
    fields.set(String(items[i]?.value), Buffer.from(writer.toBuffer()));
  }
  return fields;
}
