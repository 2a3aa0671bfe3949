// A server's sender with a queue behind it, for receivers to be tested against.
import type { AttachRequest } from "#runtime/amqp/link/attach-request.ts";
import type { DeliveryState } from "#runtime/amqp/message/delivery-state.ts";
import type { LinkEnd } from "#runtime/amqp/link/link.ts";
import { encodeMessage } from "#runtime/amqp/message/message-writer.ts";
import type { Delivery } from "#runtime/amqp/link/receiver.ts";
import type { OutgoingDelivery, Sender } from "#runtime/amqp/link/sender.ts";
import { Signal, startPair } from "./loopback.ts";
import type { Pair, PairOptions } from "./loopback.ts";

export const message = (text: string): Buffer => encodeMessage({ body: { data: Buffer.from(text) } });
export const textOf = (delivery: Delivery): string => delivery.message.data.toString();

export interface Heard {
  readonly delivery: OutgoingDelivery<string>;
  readonly state: DeliveryState | undefined;
  readonly settled: boolean;
}

/** A server that sends `queue` to a client's receiver, as far as credit and window go, and records the outcomes. */
export class Source {
  readonly heard: Heard[] = [];
  readonly queue: string[];
  sender: Sender<string> | undefined;
  readonly ended: Signal<LinkEnd> = new Signal<LinkEnd>("the server's sender to be over");
  /** What to answer an outcome that is not settled with. */
  answer: (state: DeliveryState | undefined) => DeliveryState | undefined = (state) => state;

  constructor(queue: string[] = []) {
    this.queue = queue;
  }

  accept(request: AttachRequest, settles: "itself" | "owner" = "owner"): Sender<string> {
    this.sender = request.acceptAsSender<string>(
      { settles },
      {
        onSendable: (sender) => this.pump(sender),
        onDrain: (sender) => {
          this.pump(sender);
          if (this.queue.length === 0 || sender.credit === 0) sender.drained();
        },
        onOutcome: (delivery, state, settled) => {
          this.heard.push({ delivery, state, settled });
          if (!settled && settles === "owner") delivery.settle(this.answer(state));
        },
        onDetach: (_sender, end) => this.ended.set(end),
      },
    );
    return this.sender;
  }

  pump(sender: Sender<string>): void {
    while (this.queue.length > 0 && sender.capacity() > 0) {
      const text = this.queue.shift()!;
      sender.send(message(text), text);
    }
  }
}

/** A pair whose server accepts receivers from `source`. */
export function pairWith(source: Source, options: PairOptions = {}): Promise<Pair> {
  return startPair({ ...options, sessionEvents: { onAttach: (request) => void source.accept(request) } });
}
