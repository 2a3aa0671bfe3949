import rhea, { type EventContext } from "rhea";
import type { Client } from "./clients.ts";

/** Does the same as the engine's client, the way rhea wants it. */
export const receiveWithRhea: Client = (port, count, credit) =>
  new Promise((resolve) => {
    const container = rhea.create_container();
    let received = 0;
    let settled = 0;
    const connection = container.connect({ port, host: "127.0.0.1", reconnect: false, username: "anonymous" });
    const receiver = connection.open_receiver({ source: "queue", snd_settle_mode: 0, rcv_settle_mode: 1, autoaccept: false, credit_window: 0 });
    receiver.on("receiver_open", () => receiver.add_credit(credit));
    receiver.on("message", ({ message, delivery }: EventContext) => {
      if (message?.application_properties?.["eventId"] === undefined) throw new Error("expected an eventId");
      received++;
      delivery?.accept();
      if (received % Math.floor(credit / 2) === 0 && received < count) receiver.add_credit(Math.floor(credit / 2));
    });
    receiver.on("settled", () => {
      if (++settled >= count && settled === received) connection.close();
    });
    connection.on("connection_close", () => resolve());
  });
