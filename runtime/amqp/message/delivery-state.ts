// Delivery states (part 3, 3.4): what became of a delivery. A state is its encoded bytes and what kind they are; what is
// inside is decoded when it is read. So a state that came in can go out again as it is, and two states are the same state
// when their bytes are.
import { encodeError, readErrorField } from "./condition.ts";
import type { ErrorCondition } from "./condition.ts";
import { describedValueAt, descriptor, descriptorAt } from "../codec/descriptors.ts";
import { encodeComposite } from "../codec/encode.ts";
import { FieldReader } from "../codec/fields.ts";
import { symbolMap } from "../codec/types.ts";
import type { Fields } from "../codec/types.ts";
import type { MapView } from "../codec/views.ts";

/** `other` is a state of an extension. The outcomes, which end a delivery, are accepted, rejected, released and modified. */
export type DeliveryStateKind = "received" | "accepted" | "rejected" | "released" | "modified" | "declared" | "transactional" | "other";

const kinds: { readonly [code: number]: DeliveryStateKind } = {
  [descriptor.received]: "received",
  [descriptor.accepted]: "accepted",
  [descriptor.rejected]: "rejected",
  [descriptor.released]: "released",
  [descriptor.modified]: "modified",
  [descriptor.declared]: "declared",
  [descriptor.transactionalState]: "transactional",
};

export class DeliveryState {
  readonly kind: DeliveryStateKind;
  /** The whole described value. */
  readonly bytes: Buffer;
  #key: string | undefined;

  constructor(kind: DeliveryStateKind, bytes: Buffer) {
    this.kind = kind;
    this.bytes = bytes;
  }

  /** Equal for equal states. */
  get key(): string {
    this.#key ??= this.bytes.toString("latin1");
    return this.#key;
  }

  /** Whether this ends the delivery (part 3, 3.4: a terminal state). */
  get isOutcome(): boolean {
    return this.kind === "accepted" || this.kind === "rejected" || this.kind === "released" || this.kind === "modified";
  }

  /** Why a rejected message was rejected. */
  get error(): ErrorCondition | undefined {
    return this.kind === "rejected" ? readErrorField(this.#fields()) : undefined;
  }

  /** Whether a modified message counts as tried without success. */
  get deliveryFailed(): boolean {
    return this.kind === "modified" && this.#fields().boolean(false);
  }

  /** Whether a modified message shall not come back on the same link. */
  get undeliverableHere(): boolean {
    if (this.kind !== "modified") return false;
    const fields = this.#fields();
    fields.boolean(false);
    return fields.boolean(false);
  }

  /** What a modified message's annotations shall be changed to. */
  get messageAnnotations(): MapView | undefined {
    if (this.kind !== "modified") return undefined;
    const fields = this.#fields();
    fields.boolean(false);
    fields.boolean(false);
    return fields.map();
  }

  #fields(): FieldReader {
    return new FieldReader().open(this.bytes, describedValueAt(this.bytes, 0, this.bytes.length), this.bytes.length);
  }
}

export const accepted: DeliveryState = new DeliveryState("accepted", encodeComposite(descriptor.accepted, []));
export const released: DeliveryState = new DeliveryState("released", encodeComposite(descriptor.released, []));

export function rejected(error?: ErrorCondition): DeliveryState {
  return new DeliveryState("rejected", encodeComposite(descriptor.rejected, [encodeError(error)]));
}

export interface Modification {
  readonly deliveryFailed?: boolean;
  readonly undeliverableHere?: boolean;
  readonly messageAnnotations?: Fields;
}

export function modified({ deliveryFailed, undeliverableHere, messageAnnotations }: Modification = {}): DeliveryState {
  const annotations = messageAnnotations && symbolMap(messageAnnotations);
  return new DeliveryState("modified", encodeComposite(descriptor.modified, [deliveryFailed, undeliverableHere, annotations]));
}

/** The state encoded in `bytes[start, end)`, which is known to be one whole value. */
export function readDeliveryState(bytes: Buffer, start: number, end: number): DeliveryState {
  const code = descriptorAt(bytes, start, end);
  if (code === descriptor.accepted) return accepted;
  if (code === descriptor.released) return released;
  return new DeliveryState(kinds[code] ?? "other", bytes.subarray(start, end));
}
