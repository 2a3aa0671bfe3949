/** A transport of ours: completes each batch as it comes and grants its credit again, as a worker would that has nothing to do. */
import { createAmqpTransport } from "#runtime/adapters/amqp/transport.ts";
import { createServiceBusTransport } from "#runtime/adapters/service-bus/transport.ts";
import { systemClock } from "#runtime/adapters/system/clock.ts";
import type { Delivery } from "#runtime/core/delivery.ts";
import type { Receiver, Transport } from "#runtime/ports/transport.ts";
import type { Way } from "./rows.ts";
import type { Source } from "./source.ts";

const heldEvery = 1_000;

export async function receiveWithTransport(kind: "sdk-transport" | "amqp", { connectionString, queue, messages }: Source, way: Way): Promise<number> {
  const { credit, connections = 1, links = 1 } = way;
  const create = kind === "amqp" ? createAmqpTransport : createServiceBusTransport;
  const transports = Array.from({ length: connections }, () => create({ connectionString, entity: { queue }, clock: systemClock }));
  await Promise.all(transports.map((transport) => transport.start()));
  const { promise: done, resolve, reject } = Promise.withResolvers<void>();
  const held: (readonly [Transport, Delivery])[] = [];
  let received = 0;
  let completed = 0;

  const take = async (transport: Transport, receiver: Receiver, batch: readonly Delivery[]): Promise<void> => {
    if (way.routes === true) for (const delivery of batch) route(delivery);
    const now = way.holds === true ? batch.filter((delivery) => (received += 1) % heldEvery !== 0 || held.push([transport, delivery]) === 0) : batch;
    const settled = await complete(transport, way.shuffles === true ? now.toSorted(() => Math.random() - 0.5) : now);
    completed += settled;
    if (completed + held.length === messages) resolve();
    else receiver.addCredit(batch.length);
  };
  const open = (transport: Transport): Receiver => {
    const receiver: Receiver = transport.openReceiver({ deliveries: (batch) => void take(transport, receiver, batch).catch(reject), disturbed: reject });
    receiver.addCredit(Math.ceil(credit / connections / links));
    return receiver;
  };
  const receivers = transports.flatMap((transport) => Array.from({ length: links }, () => open(transport)));
  await done;
  const doneMs = performance.now();
  for (const transport of transports)
    completed += await complete(
      transport,
      held.filter(([home]) => home === transport).map(([, delivery]) => delivery),
    );
  if (completed !== messages) throw new Error(`expected ${messages} messages to be completed, found ${completed}`);
  await Promise.all(receivers.map((receiver) => receiver.stop()));
  await Promise.all(transports.map((transport) => transport.stop()));
  return doneMs;
}

/** Returns how many the broker says are completed. */
async function complete(transport: Transport, deliveries: readonly Delivery[]): Promise<number> {
  const results = await transport.settle(deliveries.map((delivery) => ({ verb: "complete", delivery })));
  let settled = 0;
  for (const result of results) if (result === "settled") settled += 1;
  return settled;
}

/** Reads what the worker reads of a message before it goes to a thread. */
function route(delivery: Delivery): void {
  const { attempt, lockedUntilMs, body } = delivery;
  if (delivery.header("eventId") === undefined || delivery.header("eventType") === undefined || attempt < 1 || lockedUntilMs === 0 || body.length === 0) {
    throw new Error(`expected a whole message, found ${delivery.messageId} without an event id, a type, a lock or a body`);
  }
}
