import type { Clock } from "../../core/clock.ts";
import type { OutgoingMessage } from "../../core/delivery.ts";
import { TransportError } from "../../core/errors.ts";
import type { Scheduler } from "../../ports/scheduler.ts";
import { BrokerConnection } from "./broker-connection.ts";
import { answerTimeoutDefaultMs } from "./limits.ts";
import { Management } from "./management.ts";
import { type NamespaceOptions, parseNamespace } from "./namespace.ts";
import { cancelScheduled, scheduleMessages } from "./numbered-messages.ts";

/** The broker is connected with the first request, and an entity with the first one about it. */
export function createAmqpScheduler({ clock, ...options }: NamespaceOptions & { readonly clock: Clock }): Scheduler {
  const broker = new BrokerConnection({ namespace: parseNamespace(options), clock, answerTimeoutMs: answerTimeoutDefaultMs });
  const open = new Map<string, Promise<Management>>();
  let stopped: Promise<void> | undefined;
  const openNew = async (entity: string): Promise<Management> => {
    const management = new Management({ broker, address: entity, clock, answerTimeoutMs: answerTimeoutDefaultMs });
    try {
      await management.open();
      return management;
    } catch (error) {
      // The next request tries it again.
      open.delete(entity);
      management.stop();
      throw error;
    }
  };
  const of = (entity: string): Promise<Management> => {
    if (stopped !== undefined) return Promise.reject(new TransportError(`expected to ask ${entity}, found that the scheduler has stopped`));
    const known = open.get(entity) ?? openNew(entity);
    open.set(entity, known);
    return known;
  };
  return {
    schedule: async (entity: string, messages: readonly OutgoingMessage[]) => scheduleMessages(await of(entity), messages),
    cancel: async (entity, sequenceNumbers) => cancelScheduled(await of(entity), sequenceNumbers),
    stop: () => (stopped ??= stopAll([...open.values()], broker)),
  };
}

async function stopAll(open: readonly Promise<Management>[], broker: BrokerConnection): Promise<void> {
  for (const opening of await Promise.allSettled(open)) if (opening.status === "fulfilled") opening.value.stop();
  await broker.stop();
}
