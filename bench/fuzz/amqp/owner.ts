// An owner of the engine that does a bit of everything at random, and reads everything a peer sent through the lazy views.
import type { AttachRequest } from "#runtime/amqp/link/attach-request.ts";
import type { ClientOptions, ServerOptions } from "#runtime/amqp/connection/connection-options.ts";
import type { ConnectionEvents } from "#runtime/amqp/connection/connection.ts";
import { accepted, modified, rejected, released } from "#runtime/amqp/message/delivery-state.ts";
import type { DeliveryState } from "#runtime/amqp/message/delivery-state.ts";
import { ProtocolError } from "#runtime/amqp/codec/errors.ts";
import { encodeMessage } from "#runtime/amqp/message/message-writer.ts";
import type { Link } from "#runtime/amqp/link/link.ts";
import type { MessageView } from "#runtime/amqp/message/message.ts";
import type { Delivery, ReceiverEvents } from "#runtime/amqp/link/receiver.ts";
import type { OutgoingDelivery, Sender, SenderEvents } from "#runtime/amqp/link/sender.ts";
import type { Session, SessionEvents } from "#runtime/amqp/session/session.ts";
import type { Random } from "../random.ts";

const states: readonly DeliveryState[] = [
  accepted,
  accepted,
  accepted,
  released,
  modified({ deliveryFailed: true }),
  rejected({ condition: "x:y", description: "because" }),
];
const messages = [20, 300, 5_000].map((size) => encodeMessage({ applicationProperties: { size }, body: { data: Buffer.alloc(size) } }));
const creditMax = 2_000;
const sendsMax = 50;

/** Reads all there is in a message; a malformed one may refuse, and nothing else. */
function readAll(message: MessageView): void {
  const reads: readonly (() => unknown)[] = [
    () => message.check(),
    () => [message.durable, message.priority, message.ttlMs, message.firstAcquirer, message.deliveryCount],
    () => [message.property("messageId"), message.text("subject"), message.propertyView("correlationId")?.typed()],
    () => message.messageAnnotations?.toMap(),
    () => message.deliveryAnnotations?.get("x"),
    () => message.applicationProperties?.forEach((_key, value) => value.typed()),
    () => [message.bodyKind, message.data, message.values().map((value) => value.plain())],
    () => [message.footer?.size, message.section("body"), message.from("properties")],
  ];
  for (const read of reads) {
    try {
      read();
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
    }
  }
}

export class Owner {
  readonly #random: Random;
  readonly #held: Delivery[] = [];
  readonly #requests: AttachRequest[] = [];
  readonly #sessions: Session[] = [];
  readonly #links: Link[] = [];
  /** Deliveries whose end has not been told: every one must be, once. */
  readonly #sent = new Set<OutgoingDelivery<number>>();
  readonly #got = new Set<Delivery>();
  /** What the owner was notified of, so that a run can tell how deep its cases come. */
  readonly reached: Set<string> = new Set<string>();

  constructor(random: Random) {
    this.#random = random;
  }

  options(sasl: boolean): ClientOptions & Omit<ServerOptions, "sasl"> {
    return { containerId: "engine", ...(sasl && { sasl: { mechanism: "ANONYMOUS" } }) };
  }

  connectionEvents(isClient: boolean): ConnectionEvents {
    return {
      onOpen: (connection) => {
        this.reached.add("open");
        if (!isClient) return;
        const session = connection.begin(this.#sessionEvents());
        this.#sessions.push(session);
        this.openLinks(session, "");
      },
      onSession: (session) => {
        this.reached.add("session");
        this.#sessions.push(session);
        return this.#sessionEvents();
      },
    };
  }

  /** A sender and a receiver, whose names end in `suffix`. */
  openLinks(session: Session, suffix: string): void {
    const receiverSettleMode = this.#random.pick(["first", "second"] as const);
    this.#links.push(session.openSender({ name: `our sender${suffix}`, target: { address: "q" }, receiverSettleMode }, this.#senderEvents()));
    const receiver = session.openReceiver({ name: `our receiver${suffix}`, source: { address: "q" }, receiverSettleMode }, this.#receiverEvents());
    receiver.addCredit(this.#random.pick([1, 10, 100]));
    this.#links.push(receiver);
  }

  #sessionEvents(): SessionEvents {
    return {
      onBegin: () => this.reached.add("session"),
      onEnd: (_session, { by, error }) => this.reached.add(`session over by ${by}${by === "local" && error !== undefined ? ` with ${error.condition}` : ""}`),
      onAttach: (request) => {
        this.reached.add(`attach of a ${request.attach.role}`);
        if (this.#random.chance(0.1)) this.#requests.push(request);
        else this.#answer(request);
      },
    };
  }

  #answer(request: AttachRequest): void {
    const random = this.#random;
    if (random.chance(0.1)) request.refuse({ condition: "amqp:not-found", description: "no" });
    else if (request.attach.role === "receiver") this.#links.push(request.acceptAsSender({ settles: random.pick(["itself", "owner"]) }, this.#senderEvents()));
    else {
      const receiver = request.acceptAsReceiver({ maxMessageSize: random.pick([0, 100, 10_000, 10_000]) }, this.#receiverEvents());
      receiver.addCredit(random.below(100));
      this.#links.push(receiver);
    }
  }

  #senderEvents(): SenderEvents<number> {
    return {
      onAttach: () => this.reached.add("our sender attached"),
      onDetach: (_sender, { by }, unsettled) => {
        this.reached.add(by === "connection" ? "a sender's connection over" : "sender over");
        for (const delivery of unsettled) if (!this.#sent.delete(delivery)) throw new Error(`expected no word of delivery ${delivery.id}, which is over`);
      },
      onSendable: (sender) => this.#send(sender),
      ...(this.#random.chance(0.5) && {
        onDrain: (sender: Sender<number>) => {
          this.reached.add("drain by the peer");
          this.#send(sender);
          sender.drained();
        },
      }),
      onOutcome: (delivery, state, settled) => {
        if (!this.#sent.has(delivery)) throw new Error(`expected no word of delivery ${delivery.id}, which is over`);
        if (settled) this.#sent.delete(delivery);
        this.reached.add(settled ? "outcome, settled" : "outcome, to be settled");
        try {
          void [state?.error?.info, state?.undeliverableHere, state?.messageAnnotations];
        } catch (error) {
          if (!(error instanceof ProtocolError)) throw error;
        }
        if (!settled && this.#random.chance(0.7) && delivery.settle(state)) this.#sent.delete(delivery);
      },
    };
  }

  #send(sender: Sender<number>): void {
    for (let left = this.#random.below(sendsMax); left > 0 && sender.capacity() > 0; left--) {
      const message = this.#random.pick(messages);
      this.reached.add("message sent");
      if (sender.remote !== undefined && sender.remote.maxMessageSize > 0 && message.length > sender.remote.maxMessageSize) continue;
      if (sender.senderSettleMode === "mixed" && this.#random.chance(0.2)) sender.sendSettled(message, left);
      else {
        const delivery = sender.send([message.subarray(0, 9), message.subarray(9)], left);
        if (delivery?.settled === false) this.#sent.add(delivery);
      }
    }
  }

  #receiverEvents(): ReceiverEvents {
    return {
      onAttach: () => this.reached.add("our receiver attached"),
      onDetach: (_receiver, { by }, unsettled) => {
        this.reached.add(by === "connection" ? "a receiver's connection over" : "receiver over");
        if (unsettled.length > 0) this.reached.add("deliveries left unsettled");
        for (const delivery of unsettled)
          if (!this.#got.delete(delivery)) throw new Error(`expected no word of delivery ${delivery.id} that came, which is over`);
      },
      onSettled: (delivery) => {
        this.reached.add("settled by the peer");
        if (!this.#got.delete(delivery)) throw new Error(`expected no word of delivery ${delivery.id} that came, which is over`);
      },
      onDrained: () => this.reached.add("drained"),
      onDelivery: (delivery) => {
        this.reached.add("delivery");
        readAll(delivery.message);
        void delivery.tag;
        if (!delivery.settled) this.#got.add(delivery);
        if (this.#random.chance(0.8)) this.#settle(delivery);
        else this.#held.push(delivery);
      },
      onDeliveriesEnd: (receiver) => {
        if (this.#random.chance(0.5) && receiver.credit < creditMax) receiver.addCredit(this.#random.below(50));
        if (this.#random.chance(0.1)) receiver.drain();
        if (this.#random.chance(0.02)) receiver.close(this.#random.chance(0.5) ? { condition: "x:done" } : undefined);
      },
    };
  }

  #settle(delivery: Delivery): void {
    if (delivery.settle(this.#random.pick(states)) && delivery.settled) this.#got.delete(delivery);
  }

  /** When the connection is over: no delivery may be left of which nothing was reported. */
  checkFates(): void {
    for (const delivery of this.#sent) if (!delivery.settled) throw new Error(`expected to hear what became of delivery ${delivery.id} that was sent`);
    for (const delivery of this.#got) throw new Error(`expected to hear what became of delivery ${delivery.id} that came`);
  }

  /** What an owner does by itself between what a peer sends. */
  act(): void {
    const random = this.#random;
    if (random.chance(0.03)) this.#links.pop()?.close({ condition: "x:enough" });
    if (random.chance(0.01)) this.#sessions.pop()?.end();
    while (this.#held.length > 0 && random.chance(0.7)) this.#settle(this.#held.splice(random.below(this.#held.length), 1)[0]!);
    const request = this.#requests.pop();
    if (request?.isPending === true) this.#answer(request);
  }
}
