// A Service Bus of a few lines on rhea, for our transport: `$cbs` lets everybody in, an entity hands out messages under locks
// that never end and settles them, `$management` renews and peeks.
import { type AddressInfo, type Server } from "node:net";
import rhea, { type Connection as RheaConnection, type Container, type EventContext, type Message, type Sender as RheaSender } from "rhea";
import { eventually } from "../support/eventually.ts";

export interface RheaServiceBus extends AsyncDisposable {
  readonly connectionString: string;
  /** How deliveries ended, by message id; a message that was redelivered has several. */
  readonly outcomes: ReadonlyMap<string, readonly string[]>;
  /** Operations that `$management` was asked for, with the number of locks where it was about some. */
  readonly asked: readonly string[];
  /** The bodies of what was sent here, out of their batches. */
  readonly taken: readonly string[];
  /** Puts messages into the entity. */
  put(count: number): void;
  /** Detaches the link of whoever receives. */
  detach(): void;
}

interface Delivery {
  readonly id: number;
  remote_settled: boolean;
  readonly remote_state: { described(): unknown };
  update(settled: boolean, state: unknown): void;
}

interface Entry {
  readonly id: string;
  tries: number;
}

const lockedUntil = new Date(Date.UTC(2100, 0, 1));
const isNode = (address: string): boolean => address === "$cbs" || address.endsWith("/$management");

/** The data of a message, or all of it where there are several sections. */
function bytesOf(message: unknown): Buffer | Buffer[] {
  return (message as { readonly body: { readonly content: Buffer | Buffer[] } }).body.content;
}

class ServiceBus {
  readonly outcomes = new Map<string, string[]>();
  readonly asked: string[] = [];
  readonly taken: string[] = [];
  readonly senders = new Set<RheaSender>();
  readonly #waiting: Entry[] = [];
  readonly #held = new Map<Delivery, Entry>();
  #sequence = 0;

  put(count: number): void {
    for (let made = 0; made < count; made++) this.#waiting.push({ id: `m${this.#sequence++}`, tries: 0 });
    for (const sender of this.senders) this.pump(sender);
  }

  /** Sends what there is credit for; returns how much that was. */
  pump(sender: RheaSender): number {
    let sent = 0;
    for (let credit = (sender as unknown as { readonly credit: number }).credit; credit > 0 && this.#waiting.length > 0 && sender.sendable(); credit--) {
      const entry = this.#waiting.shift()!;
      const number = Number(entry.id.slice(1)) + 1;
      const tag = Buffer.alloc(16);
      tag.writeUInt32LE(number);
      const message = {
        message_id: entry.id,
        delivery_count: entry.tries,
        message_annotations: { "x-opt-sequence-number": rhea.types.wrap_long(number), "x-opt-enqueued-time": new Date(), "x-opt-locked-until": lockedUntil },
        application_properties: { eventId: entry.id, number },
        body: rhea.message.data_section(Buffer.from(entry.id)),
      };
      this.#held.set(sender.send(message, tag) as unknown as Delivery, entry);
      sent++;
    }
    return sent;
  }

  /** The client has said how a delivery is to end: the answer settles it. */
  ended(delivery: Delivery, outcome: string): void {
    const entry = this.#held.get(delivery);
    if (entry === undefined) return;
    this.#held.delete(delivery);
    const ends = this.outcomes.get(entry.id) ?? [];
    this.outcomes.set(entry.id, [...ends, outcome]);
    delivery.update(true, delivery.remote_state.described());
    delivery.remote_settled = true;
    if (outcome === "modified") entry.tries++;
    if (outcome === "modified" || outcome === "released") this.#waiting.unshift(entry);
    for (const sender of this.senders) this.pump(sender);
  }

  /** rhea leaves a message of a format that it does not know encoded. */
  take(message: Message | Buffer): void {
    const parts = Buffer.isBuffer(message)
      ? [bytesOf(rhea.message.decode(message))].flat().map((part) => bytesOf(rhea.message.decode(part)))
      : [bytesOf(message)];
    this.taken.push(...parts.map(String));
  }

  answer(address: string, message: Message): Message {
    const { operation } = message.application_properties as { readonly operation: string };
    const body = message.body as Readonly<Record<string, unknown>> | null;
    const tokens = (body?.["lock-tokens"] ?? []) as readonly unknown[];
    if (address !== "$cbs") this.asked.push(`${operation.replace("com.microsoft:", "")}${tokens.length > 0 ? ` ${tokens.length}` : ""}`);
    const isRenewal = operation === "com.microsoft:renew-lock";
    const code = operation === "com.microsoft:peek-message" ? 204 : 200;
    return {
      correlation_id: message.message_id,
      application_properties: { "status-code": rhea.types.wrap_int(address === "$cbs" ? 202 : code), statusCode: rhea.types.wrap_int(code) },
      body: isRenewal
        ? {
            expirations: rhea.types.wrap_array(
              tokens.map(() => lockedUntil.getTime()),
              0x83,
              undefined,
            ),
          }
        : {},
    } as unknown as Message;
  }
}

function serve(container: Container, bus: ServiceBus): void {
  const replies = new Map<unknown, RheaSender>();
  container.on("sender_open", ({ sender, session }: EventContext) => {
    const address = sender?.source.address as string;
    sender?.set_source({ address });
    if (isNode(address)) replies.set(session, sender!);
    else bus.senders.add(sender!);
  });
  container.on("sender_close", ({ sender }: EventContext) => bus.senders.delete(sender!));
  container.on("receiver_open", ({ receiver }: EventContext) => receiver?.set_target({ address: receiver.target.address }));
  container.on("sendable", ({ sender }: EventContext) => !isNode(sender?.source.address as string) && bus.pump(sender!));
  container.on("sender_draining", ({ sender }: EventContext) => {
    // What was just sent counts with the next turn alone, but a flow by itself is written in this one.
    if (bus.pump(sender!) === 0) sender?.set_drained(true);
    else setImmediate(() => sender?.set_drained(true));
  });
  container.on("message", ({ receiver, message, session }: EventContext) => {
    const address = receiver?.target.address as string;
    if (isNode(address)) replies.get(session)?.send(bus.answer(address, message!));
    else bus.take(message!);
  });
  for (const outcome of ["accepted", "rejected", "released", "modified"] as const)
    container.on(outcome, ({ delivery }: EventContext) => bus.ended(delivery as unknown as Delivery, outcome));
  for (const event of ["connection_error", "session_error", "sender_error", "receiver_error", "disconnected", "error"]) container.on(event, () => undefined);
}

export async function startRheaServiceBus(): Promise<RheaServiceBus> {
  const container = rhea.create_container({ id: "rhea" });
  (container.sasl_server_mechanisms as unknown as Record<string, () => void>)["enable_anonymous"]?.();
  const bus = new ServiceBus();
  serve(container, bus);
  const connections = new Set<RheaConnection>();
  container.on("connection_open", ({ connection }: EventContext) => connections.add(connection));
  const server = container.listen({ port: 0, host: "127.0.0.1", treat_modified_as_released: false } as never) as Server;
  await eventually("rhea to listen", () => server.listening);
  return {
    connectionString: `Endpoint=sb://127.0.0.1:${(server.address() as AddressInfo).port};SharedAccessKeyName=k;SharedAccessKey=s;UseDevelopmentEmulator=true`,
    outcomes: bus.outcomes,
    asked: bus.asked,
    taken: bus.taken,
    put: (count) => bus.put(count),
    detach() {
      for (const sender of bus.senders) sender.close({ condition: "amqp:link:detach-forced", description: "maintenance" });
      bus.senders.clear();
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
