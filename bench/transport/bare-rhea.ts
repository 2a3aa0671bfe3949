/** rhea by itself: without a token, and with one session for all. */
import { once } from "node:events";
import rhea from "rhea";
import type { Source } from "./source.ts";

const credit = 500;

export async function receiveWithRhea({ connectionString, queue, messages }: Source): Promise<number> {
  const [, host = "", port = ""] = /sb:\/\/([^:/;]+):(\d+)/.exec(connectionString) ?? [];
  const container = rhea.create_container();
  const connection = container.connect({ host, port: Number(port), username: "any", reconnect: false });
  const { promise: done, resolve, reject } = Promise.withResolvers<void>();
  const receiver = connection.open_receiver({ source: queue, autoaccept: false, autosettle: false, credit_window: 0, rcv_settle_mode: 1 });
  let settled = 0;
  receiver.on("message", ({ delivery }) => delivery?.accept());
  receiver.on("settled", ({ delivery }) => {
    delivery?.update(true);
    receiver.add_credit(1);
    settled += 1;
    if (settled === messages) resolve();
  });
  container.on("error", reject);
  await once(receiver, "receiver_open");
  receiver.add_credit(credit);
  await done;
  const doneMs = performance.now();
  const closed = once(connection, "connection_close");
  connection.close();
  await closed;
  return doneMs;
}
