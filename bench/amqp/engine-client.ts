import { accepted } from "#runtime/amqp/message/delivery-state.ts";
import { dial } from "#runtime/amqp/connection/sockets.ts";
import type { Client } from "./clients.ts";

/** Reads one property of each message, and completes them in batches as they come. */
export const receiveWithEngine: Client = (port, count, credit) =>
  new Promise((resolve, reject) => {
    let received = 0;
    let settled = 0;
    let bytes = 0;
    const connection = dial(
      { containerId: "client", host: "127.0.0.1", port },
      {
        onOpen: () => {
          const receiver = connection.begin({}).openReceiver(
            { name: "receiver", source: { address: "queue" }, senderSettleMode: "unsettled", receiverSettleMode: "second" },
            {
              onDelivery: (delivery) => {
                const { message } = delivery;
                if (message.applicationProperties?.string("eventId") === undefined) throw new Error("expected an eventId");
                bytes += delivery.tag.length + message.data.length;
                received++;
                delivery.settle(accepted);
              },
              onDeliveriesEnd: (link) => {
                if (received < count && link.credit <= credit / 2) link.addCredit(credit - link.credit);
              },
              onSettled: () => {
                if (++settled >= count && settled === received) connection.close();
              },
            },
          );
          receiver.addCredit(credit);
        },
        onClosed: (_connection, end) => {
          if (end.by === "local" && bytes > 0) resolve();
          else reject(new Error(`engine: expected an orderly close, got ${end.by} ${end.error?.condition ?? ""}`, { cause: end.cause }));
        },
      },
    );
  });
