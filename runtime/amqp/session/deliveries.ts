// The deliveries of a session that are not settled, in both directions, and what has to be sent about them when the tick ends
// (part 2, 2.6.12). Delivery-ids belong to the session and not to a link, and so do dispositions.
import type { DeliveryState } from "../message/delivery-state.ts";
import { DeliveryTable } from "../link/delivery-table.ts";
import { ProtocolError, conditions } from "../codec/errors.ts";
import type { Link, Settleable } from "../link/link.ts";
import type { Output } from "../frame/output.ts";
import { serialAdd, serialDistance } from "../codec/serial.ts";
import { DispositionBatch } from "../link/settlement.ts";
import type { Disposition } from "../frame/transfers.ts";

/** More than the head and performative of any disposition take, its state apart. */
const dispositionHeadBytes = 40;

export class Deliveries {
  readonly incoming: DeliveryTable<Settleable> = new DeliveryTable();
  readonly outgoing: DeliveryTable<Settleable> = new DeliveryTable();
  readonly #incomingBatch = new DispositionBatch(true);
  readonly #outgoingBatch = new DispositionBatch(false);
  #nextOutgoingId: number;
  /** Once the links end all together: what each leaves unsettled. */
  #atEnd: Map<Link, Settleable[]> | undefined;

  constructor(initialOutgoingId: number) {
    this.#nextOutgoingId = initialOutgoingId;
  }

  takeOutgoingId(): number {
    const id = this.#nextOutgoingId;
    this.#nextOutgoingId = serialAdd(id, 1);
    return id;
  }

  settleOutgoing(output: Output, id: number, state: DeliveryState | undefined): void {
    requireFit(output, state);
    this.#outgoingBatch.add(id, state, true);
  }

  settleIncoming(output: Output, id: number, state: DeliveryState | undefined, settled: boolean): void {
    requireFit(output, state);
    this.#incomingBatch.add(id, state, settled);
  }

  /** Writes what was settled since the last time. */
  write(output: Output, channel: number): void {
    this.#incomingBatch.write(output, channel);
    this.#outgoingBatch.write(output, channel);
  }

  /** The peer tells something of all deliveries in a range. Ids that are settled, or were never sent, are nobody's. */
  onDisposition(disposition: Disposition, state: DeliveryState | undefined): void {
    const { first, last, settled, fromReceiver } = disposition;
    if (serialDistance(first, last) < 0)
      throw new ProtocolError(conditions.invalidField, `expected last not to come before first, found ${first}..${last}`, "session");
    if (!fromReceiver) {
      this.incoming.forRange(first, last, (delivery) => delivery.onDisposition(state, settled));
      return;
    }
    // What is sent in answer to an outcome of this range is not in it, however far the range reaches.
    const newest = serialAdd(this.#nextOutgoingId, -1);
    this.outgoing.forRange(first, serialDistance(last, newest) < 0 ? newest : last, (delivery) => delivery.onDisposition(state, settled));
  }

  /** Takes a link's deliveries out; they can no longer be settled. */
  release(link: Link): readonly Settleable[] {
    if (this.#atEnd !== undefined) return this.#atEnd.get(link) ?? [];
    const table = link.role === "sender" ? this.outgoing : this.incoming;
    const unsettled: Settleable[] = [];
    table.forEach((delivery) => {
      if (delivery.link !== link) return;
      unsettled.push(delivery);
      table.delete(delivery.id);
    });
    return unsettled;
  }

  /** Takes all deliveries out, for the links to be released one after the other. */
  end(): void {
    const atEnd = new Map<Link, Settleable[]>();
    for (const table of [this.incoming, this.outgoing]) {
      table.forEach((delivery) => {
        const list = atEnd.get(delivery.link);
        if (list === undefined) atEnd.set(delivery.link, [delivery]);
        else list.push(delivery);
        table.delete(delivery.id);
      });
    }
    this.#atEnd = atEnd;
  }
}

/** A disposition cannot be cut into frames, so its state must fit into one that the peer takes. */
function requireFit({ frameBytesMax }: Output, state: DeliveryState | undefined): void {
  if (state === undefined || state.bytes.length + dispositionHeadBytes <= frameBytesMax) return;
  throw new ProtocolError(
    conditions.frameSizeTooSmall,
    `expected a state that fits into the peer's frames of ${frameBytesMax} bytes, found ${state.bytes.length}`,
    "session",
  );
}
