// One case: a broker without sockets, and clients that do whatever comes to their minds for a while: send messages good and
// bad, receive, settle anything in any way, ask `$management` and the administration API for sense and nonsense, let time
// pass. What must hold after each step: nothing is thrown, every answer can be read and has a known status, and what came into an
// entity less what went out is what it holds.
import type { AdministrationContext, Call } from "#load/broker/administration/call.ts";
import { answerAdministration } from "#load/broker/administration/answer.ts";
import { LockTokens } from "#load/broker/codec/lock-token.ts";
import { encodeMessage } from "#runtime/amqp/message/message-writer.ts";
import { ProtocolError } from "#runtime/amqp/codec/errors.ts";
import { parseRequest } from "#load/broker/codec/request.ts";
import type { Clock } from "#load/broker/entities/clock.ts";
import { readEntities } from "#load/broker/entities/config.ts";
import { Namespace } from "#load/broker/entities/namespace.ts";
import type { MessageQueue } from "#load/broker/entities/queue.ts";
import { Access } from "#load/broker/protocol/access.ts";
import type { ProtocolContext } from "#load/broker/protocol/context.ts";
import { Faults } from "#load/broker/protocol/faults.ts";
import { answerManagement } from "#load/broker/protocol/management.ts";
import { OpenLinks } from "#load/broker/protocol/open-links.ts";
import { Router } from "#load/broker/protocol/router.ts";
import { Tracking } from "#load/broker/protocol/tracking.ts";
import type { Attach, AttachDecision, Outcome, ReceivingHandler, SendingHandler, SendingLink, WireConnection } from "#load/broker/protocol/wire.ts";
import { TokenVerifier } from "#load/broker/security/tokens.ts";
import { Random } from "../random.ts";
import type { CaseReport, FuzzTarget } from "../target.ts";
import { anyMap, anyMessage, damaged, operations } from "./values.ts";

const entities = readEntities({
  queues: [
    { name: "plain", lockDurationMs: 100, deliveryCountMax: 3 },
    { name: "steps", lockDurationMs: 100, requiresSession: true, deliveryCountMax: 3 },
    { name: "once", requiresDuplicateDetection: true, duplicateWindowMs: 200, timeToLiveMs: 300, deadLetterOnExpiry: true },
    { name: "chain", forwardTo: "plain", forwardDeadLettersTo: "once" },
  ],
  topics: [
    {
      name: "news",
      subscriptions: ["all", { name: "steps", requiresSession: true }, { name: "red", rules: [{ name: "r", sql: "color = 'red'", action: "SET n = n + 1" }] }],
    },
  ],
});
const paths = [
  "plain",
  "steps",
  "once",
  "chain",
  "news",
  "news/Subscriptions/all",
  "news/Subscriptions/steps",
  "news/Subscriptions/red",
  "plain/$DeadLetterQueue",
  "nothing",
];
const stepsMax = 120;
/** Links that a case begins with: without some nothing happens. */
const linksFirst = 24;
const statuses: ReadonlySet<number> = new Set([200, 204, 400, 403, 404, 409, 410, 413, 501]);

class FuzzClock implements Clock {
  #nowMs = 1_000_000;
  readonly #timers = new Set<{ readonly atMs: number; readonly ring: () => void }>();

  now(): number {
    return this.#nowMs;
  }

  after(delayMs: number, ring: () => void): () => void {
    const timer = { atMs: this.#nowMs + delayMs, ring };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  advance(byMs: number): void {
    const endMs = this.#nowMs + byMs;
    for (;;) {
      const due = [...this.#timers].filter(({ atMs }) => atMs <= endMs).sort((a, b) => a.atMs - b.atMs)[0];
      if (due === undefined) break;
      this.#timers.delete(due);
      this.#nowMs = Math.max(this.#nowMs, due.atMs);
      due.ring();
    }
    this.#nowMs = endMs;
  }
}

const connection: WireConnection = { name: "fuzz", host: "localhost", close: () => undefined, cut: () => undefined };

/** A link on which the case receives. */
class Inbox implements SendingLink {
  readonly name = "inbox";
  readonly connection = connection;
  readonly held: unknown[] = [];
  handler: SendingHandler | undefined;
  credit = 0;

  send(_tag: Buffer, _parts: readonly [Buffer, Buffer], held: unknown): void {
    if (this.credit-- <= 0) throw new Error("expected no delivery without credit");
    if (held !== undefined) this.held.push(held);
  }

  close(): void {
    this.handler?.onClosed();
    this.handler = undefined;
  }
}

class Case {
  readonly #random: Random;
  readonly #clock = new FuzzClock();
  readonly #namespace: Namespace;
  readonly #context: ProtocolContext;
  readonly #router: Router;
  readonly #administration: AdministrationContext;
  readonly #inboxes: Inbox[] = [];
  readonly #senders: ReceivingHandler[] = [];
  delivered = 0;

  constructor(seed: number) {
    this.#random = new Random(seed);
    this.#namespace = new Namespace(entities, { clock: this.#clock, record: false });
    const links = new OpenLinks();
    const verifier = new TokenVerifier(undefined, () => this.#clock.now());
    const tracking = new Tracking(
      () => "00000000-0000-0000-0000-000000000000",
      () => this.#clock.now(),
    );
    let lastId = 0;
    this.#context = {
      tokens: new LockTokens(Buffer.alloc(8, 7)),
      newMessageId: () => `made-${++lastId}`,
      links,
      access: new Access(verifier, links, this.#clock),
      tracking,
      faults: new Faults(this.#clock),
      trouble: () => undefined,
      onDefinitions: () => undefined,
      ruleTrouble: () => undefined,
      nowMs: () => this.#clock.now(),
    };
    this.#router = new Router(this.#namespace, this.#context);
    this.#administration = { namespace: this.#namespace, links, verifier, tracking, onChange: () => undefined };
  }

  run(): void {
    for (let i = 0; i < linksFirst; i++) this.#open(i % 2 === 0 ? "sender" : "receiver");
    for (let step = this.#random.below(stepsMax); step >= 0; step--) {
      this.#step();
      for (const queue of this.#namespace.allQueues()) checkAccount(queue);
    }
    this.#namespace.stop();
  }

  #step(): void {
    switch (this.#random.below(10)) {
      case 0:
        return this.#open("sender");
      case 1:
        return this.#open("receiver");
      case 2:
      case 3:
        return this.#send();
      case 4:
        return this.#grant();
      case 5:
      case 6:
        return this.#settle();
      case 7:
        return this.#ask();
      case 8:
        return this.#administer();
      default:
        this.#clock.advance(this.#random.below(150));
    }
  }

  #open(role: "sender" | "receiver"): void {
    const random = this.#random;
    const sessionId = random.pick(["a", "b", "", null]);
    const attach: Attach = {
      connection,
      session: this,
      beyond: undefined,
      name: "link",
      address: random.pick(paths),
      peerAddress: undefined,
      presettled: random.chance(0.2),
      filters: random.chance(0.5) ? new Map([["com.microsoft:session-filter", sessionId]]) : new Map(),
      properties: random.chance(0.5) ? new Map([["com.microsoft:timeout", random.below(200)]]) : new Map(),
    };
    this.#decide(this.#router.attach(role, attach));
  }

  #decide(decision: AttachDecision): void {
    if (decision.kind === "later") {
      const giveUp = decision.start((decided) => this.#decide(decided));
      if (this.#random.chance(0.3)) giveUp();
    } else if (decision.kind === "receive") this.#senders.push(decision.start({ name: "out", close: () => undefined }));
    else if (decision.kind === "send") {
      const inbox = new Inbox();
      inbox.handler = decision.start(inbox);
      this.#inboxes.push(inbox);
    }
  }

  #send(): void {
    if (this.#senders.length === 0) return;
    const sender = this.#random.pick(this.#senders);
    if (this.#random.chance(0.7)) {
      sender.onMessage(anyMessage(this.#random), 0);
      return;
    }
    const messages = Array.from({ length: 1 + this.#random.below(5) }, () => anyMessage(this.#random));
    sender.onMessage(damaged(this.#random, encodeMessage({ body: { data: messages } }), 0.2), 0x8001_3700);
  }

  #grant(): void {
    const open = this.#inboxes.filter(({ handler }) => handler !== undefined);
    if (open.length === 0) return;
    const inbox = this.#random.pick(open);
    if (this.#random.chance(0.05)) return inbox.close();
    if (inbox.handler === undefined) return;
    inbox.credit = this.#random.below(20);
    inbox.handler.onCredit(inbox.credit);
  }

  #settle(): void {
    const holders = this.#inboxes.filter(({ held, handler }) => held.length > 0 && handler !== undefined);
    if (holders.length === 0) return;
    const { held, handler } = this.#random.pick(holders);
    if (handler === undefined) return;
    const [delivery] = held.splice(this.#random.below(held.length), 1);
    const fields = new Map([[this.#random.pick(["DeadLetterReason", "n", "x"]), Buffer.from([0xa1, 1, 0x61])]]);
    const outcome = this.#random.pick<Outcome>([
      { kind: "accepted" },
      { kind: "released" },
      { kind: "modified", undeliverableHere: false, annotations: fields },
      { kind: "modified", undeliverableHere: true, annotations: undefined },
      { kind: "rejected", info: fields },
    ]);
    handler.onOutcome(delivery, outcome);
    this.delivered++;
  }

  #ask(): void {
    const found = this.#namespace.resolve(`${this.#random.pick(paths)}/$management`);
    if (found.kind === "notFound") return;
    const operation = `com.microsoft:${this.#random.pick(operations)}`;
    const request = encodeMessage({ applicationProperties: { operation }, body: { value: anyMap(this.#random) } });
    try {
      const reply = parseRequest(answerManagement(found, parseRequest(damaged(this.#random, request, 0.1)), this.#context, connection));
      const code = reply.properties?.get("statusCode");
      if (typeof code !== "number" || !statuses.has(code)) throw new Error(`expected a known status, found ${JSON.stringify(code)}`);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
    }
  }

  #administer(): void {
    const random = this.#random;
    const kind = random.pick(["QueueDescription", "TopicDescription", "SubscriptionDescription", "RuleDescription"]);
    const setting = random.pick([
      "LockDuration>PT5S",
      "LockDuration>soon",
      "MaxDeliveryCount>2",
      "Status>Disabled",
      "Status>Active",
      "ForwardTo>sb://x/plain",
      "ForwardTo>nowhere",
      "RequiresSession>true",
    ]);
    const filter = `<Filter i:type="SqlFilter"><SqlExpression>n ${random.pick(["=", ">", "=="])} 1</SqlExpression></Filter>`;
    const body = `<entry xmlns="http://www.w3.org/2005/Atom"><content><${kind} xmlns:i="x"><${setting}</${setting.split(">")[0]}>${filter}</${kind}></content></entry>`;
    const call: Call = {
      method: random.pick(["GET", "PUT", "PUT", "DELETE", "POST"]),
      path: random.pick([
        ...paths,
        "made",
        "made/Subscriptions/x",
        "news/Subscriptions/all/Rules/r",
        "$Resources/queues",
        "$namespaceinfo",
        "news/Subscriptions",
        "/",
        "%",
      ]),
      query: new URLSearchParams({ $skip: String(random.edge()), $top: random.pick(["1", "x", "-1"]) }),
      authorization: undefined,
      ifMatch: random.chance(0.5) ? "*" : undefined,
      body: damaged(random, Buffer.from(body), 0.3).toString("utf8"),
      base: "http://localhost:5672",
    };
    const { status } = answerAdministration(this.#administration, call);
    if (![200, 201, 400, 403, 404, 405, 409].includes(status)) throw new Error(`expected a known status, found ${status}`);
  }
}

function checkAccount({ path, counters, states, size }: MessageQueue): void {
  const cameIn = counters.accepted + counters.scheduledAccepted + counters.movedIn;
  const wentOut =
    counters.completed +
    counters.receivedAndDeleted +
    counters.deadLettered +
    counters.expiredDropped +
    counters.cancelled +
    counters.deleted +
    counters.forwarded;
  if (cameIn - wentOut !== size) throw new Error(`${path}: expected ${cameIn} in less ${wentOut} out to be held, found ${size}`);
  const { active, locked, scheduled, deferred } = states;
  if (active + locked + scheduled + deferred !== size) throw new Error(`${path}: expected the states to add up to ${size}, found ${JSON.stringify(states)}`);
}

export const brokerTarget: FuzzTarget = {
  runCase(seed: number): Promise<CaseReport> {
    const one = new Case(seed);
    one.run();
    return Promise.resolve({ outcome: one.delivered > 0 ? "settled something" : "settled nothing" });
  },
};
