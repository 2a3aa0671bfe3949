// The other side of the measurement, in a process of its own: a server of the engine that delivers without end to whoever
// gives credit, in peek-lock, rewriting header and annotations for each delivery, and answers what is settled.
import { listen } from "#runtime/amqp/connection/sockets.ts";
import type { Sender } from "#runtime/amqp/link/sender.ts";
import { Writer } from "#runtime/amqp/codec/writer.ts";
import { serve } from "../support/serve.ts";
import { bareMessage, writeDeliveryPrefix } from "./messages.ts";

const bare = Array.from({ length: 64 }, bareMessage);
const writer = new Writer(65_536);
let delivered = 0;
let settled = 0;

function makeTag(sequence: number): Buffer {
  const tag = Buffer.allocUnsafe(16);
  tag.fill(7);
  tag.writeUInt32BE(sequence);
  return tag;
}

function pump(sender: Sender<number>): void {
  const nowMs = Date.now();
  for (let room = sender.capacity(); room > 0; room--) {
    writeDeliveryPrefix(writer, delivered, nowMs);
    if (sender.send([writer.take(), bare[delivered % bare.length]!], delivered, makeTag(delivered)) === undefined) return;
    delivered++;
  }
}

const listener = await listen(
  { containerId: "bench", port: 0, sasl: { mechanisms: ["ANONYMOUS"], authenticate: (_init, decide) => decide(true), optional: true } },
  {
    onSession: () => ({
      onAttach: (request) =>
        void request.acceptAsSender<number>(
          { settles: "owner", receiverSettleMode: request.attach.receiverSettleMode },
          {
            onSendable: pump,
            onOutcome: (delivery, state, final) => {
              settled++;
              if (!final) delivery.settle(state);
            },
          },
        ),
    }),
  },
);

const calls = {
  port: (): number => listener.port,
  /** Settlements since the start. */
  settled: (): number => settled,
};
export type ServerCalls = typeof calls;

serve(calls);
