// What the design takes for granted of Service Bus, each as something that is done and looked at. `expected` is what the local broker does, too.
import { readEntityDepth, readEntitySettings } from "#runtime/adapters/amqp/administration.ts";
import { SendError, TransportError } from "#runtime/core/errors.ts";
import { eventually } from "../support/eventually.ts";
import { Inbox } from "../support/transport-bench.ts";
import { patienceMs, type Scene } from "./scene.ts";

export interface Assumption {
  readonly name: string;
  /** Some seconds must pass in it. */
  readonly isSlow?: boolean;
  readonly expected: Readonly<Record<string, unknown>>;
  look(scene: Scene): Promise<Readonly<Record<string, unknown>>>;
}

const clockSkewMaxMs = 5_000;
/** Above what a standard namespace takes, and what a premium one does by default. */
const tooLargeBytes = 2 * 1024 * 1024;

export const assumptions: readonly Assumption[] = [
  {
    name: "a delivery that is released counts no attempt; one that is abandoned does",
    expected: { first: 1, afterRelease: 1, afterAbandon: 2, results: ["settled", "settled", "settled"] },
    async look(scene) {
      const queue = await scene.queue("released");
      const transport = await scene.transport({ queue });
      await scene.send(queue, ["m"]);
      const first = await scene.receiveOne(transport);
      const released = await transport.settle([{ verb: "release", delivery: first }]);
      const second = await scene.receiveOne(transport);
      const abandoned = await transport.settle([{ verb: "abandon", delivery: second }]);
      const third = await scene.receiveOne(transport);
      const completed = await transport.settle([{ verb: "complete", delivery: third }]);
      return { first: first.attempt, afterRelease: second.attempt, afterAbandon: third.attempt, results: [...released, ...abandoned, ...completed] };
    },
  },
  {
    name: "a lock is renewed to its full length from then on, and the broker's clock is ours within seconds",
    expected: { renewed: "renewed", isLater: true, lockSeconds: 30, clocksAgree: true },
    async look(scene) {
      const queue = await scene.queue("renewed");
      const transport = await scene.transport({ queue });
      await scene.send(queue, ["m"]);
      const delivery = await scene.receiveOne(transport);
      // Renewing moves it.
      const before = delivery.lockedUntilMs;
      const aged = Date.now() + 500;
      await eventually("the lock to age", () => Date.now() >= aged);
      const [result] = await transport.renew([delivery]);
      const until = result?.kind === "renewed" ? result.lockedUntilMs : 0;
      return {
        renewed: result?.kind,
        isLater: until > before,
        lockSeconds: Math.round((before - delivery.enqueuedAtMs) / 10_000) * 10,
        clocksAgree: Math.abs(delivery.enqueuedAtMs - Date.now()) < clockSkewMaxMs,
      };
    },
  },
  {
    name: "a lock that ran out has the message redelivered with one attempt more, and cannot be settled or renewed",
    isSlow: true,
    expected: { attempt: 2, lateSettlement: "lock-lost", lateRenewal: "lock-lost" },
    async look(scene) {
      const queue = await scene.queue("expired", { lockDuration: "PT5S" });
      const [one, other] = [await scene.transport({ queue }), await scene.transport({ queue })];
      await scene.send(queue, ["m"]);
      const first = await scene.receiveOne(one);
      const second = await scene.receiveOne(other);
      const [lateRenewal] = await one.renew([first]);
      const [lateSettlement] = await one.settle([{ verb: "complete", delivery: first }]);
      return { attempt: second.attempt, lateSettlement, lateRenewal: lateRenewal?.kind };
    },
  },
  {
    name: "a scheduled copy comes when it is due and not before, as a first delivery, with its headers",
    isSlow: true,
    expected: { isEarly: false, isLate: false, attempt: 1, header: "kept", enqueuedWhenDue: true },
    async look(scene) {
      const queue = await scene.queue("scheduled");
      const transport = await scene.transport({ queue });
      const dueMs = Math.ceil(Date.now() / 1_000) * 1_000 + 3_000;
      await scene.send(queue, ["m"], { scheduledAtMs: dueMs, headers: { mark: "kept" } });
      const delivery = await scene.receiveOne(transport);
      const atMs = Date.now();
      return {
        isEarly: atMs < dueMs - clockSkewMaxMs / 5,
        isLate: atMs > dueMs + 10_000,
        attempt: delivery.attempt,
        header: delivery.header("mark"),
        enqueuedWhenDue: Math.abs(delivery.enqueuedAtMs - dueMs) < clockSkewMaxMs,
      };
    },
  },
  {
    name: "an entity that is not there, one that is disabled, and a key that is wrong are told apart",
    expected: { missing: "missing", disabled: "disabled", forbidden: "forbidden" },
    async look(scene) {
      const disabled = await scene.queue("disabled", { status: "Disabled" });
      const plain = await scene.queue("forbidden");
      const trouble = async (start: Promise<void>): Promise<unknown> =>
        start.then(
          () => "none",
          (error: unknown) => (error instanceof TransportError ? error.entityTrouble : error),
        );
      const { login } = scene;
      const wrong =
        "connectionString" in login ? { connectionString: login.connectionString.replace(/SharedAccessKey=[^;]+/, "SharedAccessKey=d3Jvbmc=") } : undefined;
      return {
        missing: await trouble(scene.newTransport({ queue: `${scene.prefix}-nowhere` }).start()),
        disabled: await trouble(scene.newTransport({ queue: disabled }).start()),
        // An identity has no key that could be wrong.
        forbidden: wrong === undefined ? "forbidden" : await trouble(scene.newTransport({ queue: plain }, wrong).start()),
      };
    },
  },
  {
    name: "a message that is too large is refused for good, and those beside it are accepted",
    expected: { failed: ["large"], isPermanent: true, arrived: ["small-1", "small-2"] },
    async look(scene) {
      const queue = await scene.queue("limits");
      const transport = await scene.transport({ queue });
      const publisher = await scene.publisher();
      const message = (messageId: string, bytes: number) => ({ messageId, body: Buffer.alloc(bytes, 120), headers: {} });
      const error = await publisher.send(queue, [message("small-1", 10), message("large", tooLargeBytes), message("small-2", 10)]).then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      const inbox = new Inbox(transport);
      inbox.addCredit(2);
      const arrived = await inbox.upTo(2, patienceMs);
      return {
        failed: error instanceof SendError ? [...error.failed.keys()].map(({ messageId }) => messageId) : error,
        isPermanent: error instanceof SendError && error.isPermanent,
        arrived: arrived.map(({ messageId }) => messageId).toSorted(),
      };
    },
  },
  {
    name: "a dead letter keeps its body, and has reason, description and properties",
    expected: { reason: "PoisonMessage", description: "it cannot be read", mark: 7, body: "body of m", attempt: 1 },
    async look(scene) {
      const queue = await scene.queue("poison");
      const transport = await scene.transport({ queue });
      await scene.send(queue, ["m"]);
      const delivery = await scene.receiveOne(transport);
      await transport.settle([{ verb: "dead-letter", delivery, reason: "PoisonMessage", description: "it cannot be read", properties: { mark: 7 } }]);
      const letters = await scene.transport({ queue, subQueue: "dead-letter" });
      const letter = await scene.receiveOne(letters);
      return {
        reason: letter.header("DeadLetterReason"),
        description: letter.header("DeadLetterErrorDescription"),
        mark: Number(letter.header("mark")),
        body: Buffer.from(letter.body).toString(),
        attempt: letter.attempt,
      };
    },
  },
  {
    name: "hundreds of messages come once each, in mixed settlements of which none is confused",
    expected: { received: 400, distinct: 400, settled: 400, left: 0, deadLettered: 100 },
    async look(scene) {
      const queue = await scene.queue("many");
      const transport = await scene.transport({ queue });
      await scene.send(
        queue,
        Array.from({ length: 400 }, (_, index) => `m${index}`),
      );
      const inbox = new Inbox(transport);
      inbox.addCredit(400);
      const deliveries = await inbox.upTo(400, patienceMs);
      const results = await transport.settle(
        deliveries.map((delivery, index) =>
          index % 4 === 0 ? { verb: "dead-letter" as const, delivery, reason: "EveryFourth", description: "" } : { verb: "complete" as const, delivery },
        ),
      );
      // The counts of the administration are late.
      const depth = await eventually(
        "the counts to agree",
        async () => {
          const now = await readEntityDepth(scene.login, { queue });
          return now.active === 0 && now.deadLettered === 100 ? now : undefined;
        },
        patienceMs,
      );
      return {
        received: deliveries.length,
        distinct: new Set(deliveries.map(({ messageId }) => messageId)).size,
        settled: results.filter((result) => result === "settled").length,
        left: depth.active,
        deadLettered: depth.deadLettered,
      };
    },
  },
  {
    name: "the administration tells an entity's settings, and counts what is locked as active",
    expected: { lockDurationMs: 30_000, deliveriesMax: 10, requiresSession: false, status: "Active", activeWhileLocked: 1 },
    async look(scene) {
      const queue = await scene.queue("settings");
      const { lockDurationMs, deliveriesMax, requiresSession, status } = await readEntitySettings(scene.login, { queue });
      const transport = await scene.transport({ queue });
      await scene.send(queue, ["m"]);
      await scene.receiveOne(transport);
      const depth = await eventually(
        "the count",
        async () => {
          const now = await readEntityDepth(scene.login, { queue });
          return now.active > 0 ? now : undefined;
        },
        patienceMs,
      );
      return { lockDurationMs, deliveriesMax, requiresSession, status, activeWhileLocked: depth.active };
    },
  },
  {
    name: "duplicate detection drops a message id that was there, and takes a copy with another",
    expected: { arrived: ["copy", "m"] },
    async look(scene) {
      const queue = await scene.queue("duplicates", { requiresDuplicateDetection: true, duplicateDetectionHistoryTimeWindow: "PT1M" });
      const transport = await scene.transport({ queue });
      await scene.send(queue, ["m"]);
      await scene.send(queue, ["m", "copy"]);
      const inbox = new Inbox(transport);
      inbox.addCredit(3);
      const arrived = await inbox.upTo(2, patienceMs);
      return { arrived: arrived.map(({ messageId }) => messageId).toSorted() };
    },
  },
];
