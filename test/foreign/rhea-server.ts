// A server on rhea that keeps queues, one for each address that is named. What is released or modified is redelivered.
import type { AddressInfo, Server } from "node:net";
import rhea, { type Connection as RheaConnection, type Container, type EventContext, type Message, type Receiver, type Sender as RheaSender } from "rhea";
import { eventually } from "../support/eventually.ts";

export interface RheaServer extends AsyncDisposable {
  readonly port: number;
  readonly connections: ReadonlySet<RheaConnection>;
  /** Detaches every link to or from an address, with an error. */
  detach(address: string, condition: string): void;
}

export const rheaUser = { username: "user", password: "secret" } as const;

interface Delivery {
  readonly id: number;
  readonly settled: boolean;
}

class Queues {
  readonly #messages = new Map<string, Message[]>();
  readonly #senders = new Map<string, Set<RheaSender>>();
  /** What is on its way, by the delivery that rhea made of it. */
  readonly #sent = new Map<Delivery, readonly [address: string, message: Message]>();

  put(address: string, message: Message, isFirst = false): void {
    const messages = this.#messages.get(address) ?? [];
    this.#messages.set(address, messages);
    if (isFirst) messages.unshift(message);
    else messages.push(message);
    for (const sender of this.#senders.get(address) ?? []) this.pump(address, sender);
  }

  /** Sends what there is credit for; returns how much that was. */
  pump(address: string, sender: RheaSender): number {
    let sent = 0;
    const senders = this.#senders.get(address) ?? new Set();
    this.#senders.set(address, senders.add(sender));
    const messages = this.#messages.get(address) ?? [];
    // rhea counts credit down only with its next turn.
    for (let credit = (sender as unknown as { readonly credit: number }).credit; credit > 0 && messages.length > 0 && sender.sendable(); credit--) {
      const message = messages.shift()!;
      const delivery = sender.send(message) as unknown as Delivery;
      if (!delivery.settled) this.#sent.set(delivery, [address, message]);
      sent++;
    }
    return sent;
  }

  forget(sender: RheaSender): void {
    for (const senders of this.#senders.values()) senders.delete(sender);
  }

  ended(delivery: Delivery, isBack: boolean): void {
    const [address, message] = this.#sent.get(delivery) ?? [];
    this.#sent.delete(delivery);
    if (isBack && address !== undefined && message !== undefined) this.put(address, message, true);
  }
}

function serve(container: Container, queues: Queues): void {
  container.on("sender_open", ({ sender }: EventContext) => sender?.set_source({ address: sender.source?.address ?? "none" }));
  container.on("receiver_open", ({ receiver }: EventContext) => {
    const address = receiver?.target?.address;
    if (address === "missing") receiver?.close({ condition: "amqp:not-found", description: "there is no such queue" });
    else receiver?.set_target({ address: address ?? "none" });
  });
  container.on("message", ({ receiver, message }: EventContext) => queues.put(receiver?.target.address as string, message!));
  container.on("sendable", ({ sender }: EventContext) => queues.pump(sender?.source.address as string, sender!));
  container.on("sender_draining", ({ sender }: EventContext) => {
    // What was just sent counts with the next turn alone, but a flow by itself is written in this one.
    if (queues.pump(sender?.source.address as string, sender!) === 0) sender?.set_drained(true);
    else setImmediate(() => sender?.set_drained(true));
  });
  container.on("sender_close", ({ sender }: EventContext) => queues.forget(sender!));
  for (const [event, isBack] of [
    ["accepted", false],
    ["rejected", false],
    ["released", true],
    ["modified", true],
  ] as const) {
    container.on(event, ({ delivery }: EventContext) => queues.ended(delivery as unknown as Delivery, isBack));
  }
}

/** @param options as rhea's `listen` takes them, such as for TLS */
export async function startRheaServer(options: object = {}): Promise<RheaServer> {
  const container = rhea.create_container({ id: "rhea", non_fatal_errors: ["amqp:not-found"] });
  const mechanisms = container.sasl_server_mechanisms as unknown as Record<string, (check?: (user: string, password: string) => boolean) => void>;
  mechanisms["enable_anonymous"]?.();
  mechanisms["enable_plain"]?.((user, password) => user === rheaUser.username && password === rheaUser.password);
  // rhea has no EXTERNAL of its own for servers: whoever has shown a certificate is let in.
  (container.sasl_server_mechanisms as unknown as Record<string, unknown>)["EXTERNAL"] = () => ({
    start(this: { outcome?: boolean }) {
      this.outcome = true;
    },
  });
  serve(container, new Queues());
  const connections = new Set<RheaConnection>();
  container.on("connection_open", ({ connection }: EventContext) => connections.add(connection));
  for (const event of ["connection_close", "disconnected"]) container.on(event, ({ connection }: EventContext) => connections.delete(connection));
  for (const event of ["connection_error", "session_error", "sender_error", "receiver_error", "error"]) container.on(event, () => undefined);
  const server = container.listen({ port: 0, host: "127.0.0.1", ...options } as never) as Server;
  await eventually("rhea to listen", () => server.listening);
  return {
    port: (server.address() as AddressInfo).port,
    connections,
    detach(address, condition) {
      for (const connection of connections) {
        connection.each_sender((sender: RheaSender) => sender.source?.address === address && sender.close({ condition, description: "as the test wants it" }));
        connection.each_receiver(
          (receiver: Receiver) => receiver.target?.address === address && receiver.close({ condition, description: "as the test wants it" }),
        );
      }
    },
    [Symbol.asyncDispose]: async () => {
      const ended = new Promise((resolve) => {
        server.close(resolve);
      });
      for (const connection of connections) connection.close();
      await ended;
    },
  };
}
