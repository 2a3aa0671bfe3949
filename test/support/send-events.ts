// Puts events into a queue of a broker that runs in this process.
import { ServiceBusClient } from "@azure/service-bus";
import type { Broker } from "#load/broker/index.ts";

export async function sendEvents(
  broker: Pick<Broker, "connectionString">,
  queue: string,
  events: readonly { readonly eventId: string; readonly eventType: string; readonly payload?: unknown }[],
): Promise<void> {
  const client = new ServiceBusClient(broker.connectionString);
  try {
    await client.createSender(queue).sendMessages(
      events.map(({ payload = {}, ...event }) => ({
        messageId: event.eventId,
        contentType: "application/json",
        body: {
          ...event,
          traceId: "t",
          correlationId: event.eventId,
          projectId: "p",
          originatingAgent: "test",
          version: "1.0",
          timestamp: "2026-01-01T00:00:00.000Z",
          payload,
        },
      })),
    );
  } finally {
    await client.close();
  }
}
