// What every transport must do with sessions. An adapter's test calls `sessionContract` with a way to make a fresh bench.
import { strict as assert } from "node:assert";
import { describe, type TestContext, test } from "node:test";
import type { ServiceBusMessage } from "@azure/service-bus";
import type { Delivery } from "#runtime/core/delivery.ts";
import { TransportError } from "#runtime/core/errors.ts";
import type { HeldSession, SettleOrder, Transport } from "#runtime/ports/transport.ts";
import { eventually, within } from "../support/eventually.ts";
import { lockDurationMs, type TransportBench } from "../support/transport-bench.ts";

const entity = { queue: "sessions" };

/** A session with what it has brought. */
class Held {
  readonly session: HeldSession;
  readonly deliveries: Delivery[] = [];
  readonly losses: TransportError[] = [];

  constructor(session: HeldSession) {
    this.session = session;
    session.listen({ delivery: (delivery) => this.deliveries.push(delivery), lost: (error) => this.losses.push(error) });
  }

  /** Asks for the next message and waits for it. */
  async next(): Promise<Delivery> {
    const index = this.deliveries.length;
    this.session.receive();
    await eventually(`a message of session ${this.session.id}`, () => this.deliveries.length > index);
    const delivery = this.deliveries[index];
    assert.ok(delivery !== undefined);
    return delivery;
  }

  async lost(): Promise<void> {
    await eventually(`session ${this.session.id} to be lost`, () => this.losses.length > 0);
  }
}

async function accept(transport: Transport, waitMs = 10_000): Promise<Held> {
  const session = await within("a session", transport.acceptSession(waitMs), 20_000);
  assert.ok(session !== undefined, "expected a session, found none");
  return new Held(session);
}

async function complete(transport: Transport, delivery: Delivery): Promise<void> {
  assert.deepEqual(await transport.settle([{ verb: "complete", delivery }]), ["settled"]);
}

function inSession(sessionId: string, ...ids: readonly string[]): ServiceBusMessage[] {
  return ids.map((id) => ({ sessionId, messageId: id, body: Buffer.from(id) }));
}

export function sessionContract(name: string, makeBench: (t: TestContext) => Promise<TransportBench>): void {
  describe(`sessions: ${name}`, () => {
    describeAccepting(makeBench);
    describeHolding(makeBench);
    describeState(makeBench);
    describeLoss(makeBench);
  });
}

function describeAccepting(makeBench: (t: TestContext) => Promise<TransportBench>): void {
  test("tells an entity that requires sessions from one that has none", async (t) => {
    const bench = await makeBench(t);
    assert.equal(await (await bench.startTransport(entity)).requiresSessions(), true);
    assert.equal(await (await bench.startTransport({ queue: "input" })).requiresSessions(), false);
    assert.equal(await (await bench.startTransport({ topic: "in-order", subscription: "reader" })).requiresSessions(), true);
    assert.equal(await (await bench.startTransport({ topic: "news", subscription: "reader" })).requiresSessions(), false);
    for (const path of ["sessions", "input"]) await eventually(`nobody to be left on ${path}`, () => bench.account(path).receivers === 0);
  });

  test("takes the next session that has messages, and finds none in time when there is none", async (t) => {
    const bench = await makeBench(t);
    const transport = await bench.startTransport(entity);
    assert.equal(await transport.acceptSession(100), undefined);
    await bench.send(inSession("a", "a0"), "sessions");
    const held = await accept(transport);
    assert.equal(held.session.id, "a");
    assert.ok(held.session.lockedUntilMs > Date.now() && held.session.lockedUntilMs <= Date.now() + lockDurationMs);
    assert.equal(await transport.acceptSession(100), undefined);
  });

  test("gets a session that is sent while it waits", async (t) => {
    const bench = await makeBench(t);
    const transport = await bench.startTransport(entity);
    const waiting = accept(transport);
    await bench.send(inSession("late", "m"), "sessions");
    const held = await waiting;
    assert.equal((await held.next()).messageId, "m");
  });

  test("reads the sessions of a subscription", async (t) => {
    const bench = await makeBench(t);
    await bench.send(inSession("s", "m0", "m1"), "in-order");
    const transport = await bench.startTransport({ topic: "in-order", subscription: "reader" });
    const held = await accept(transport);
    for (const id of ["m0", "m1"]) {
      const delivery = await held.next();
      assert.equal(delivery.messageId, id);
      await complete(transport, delivery);
    }
  });
}

function describeHolding(makeBench: (t: TestContext) => Promise<TransportBench>): void {
  test("hands out one message at a time, of each session in its order", async (t) => {
    const bench = await makeBench(t);
    await bench.send([...inSession("a", "a0", "a1", "a2"), ...inSession("b", "b0", "b1", "b2")], "sessions");
    const transport = await bench.startTransport(entity);
    const all = [await accept(transport), await accept(transport)];
    assert.deepEqual(all.map(({ session }) => session.id).toSorted(), ["a", "b"]);
    for (const round of [0, 1, 2]) {
      for (const held of all) {
        const delivery = await held.next();
        assert.deepEqual([delivery.messageId, delivery.particulars().sessionId, delivery.attempt], [`${held.session.id}${round}`, held.session.id, 1]);
        assert.equal(held.deliveries.length, round + 1);
        await complete(transport, delivery);
      }
    }
    assert.deepEqual([bench.account("sessions").totals.delivered, bench.account("sessions").totals.completed], [6, 6]);
  });

  test("hands a session over where it was let go, at no cost of a delivery", async (t) => {
    const bench = await makeBench(t);
    await bench.send(inSession("a", "a0", "a1", "a2"), "sessions");
    const [first, second] = [await bench.startTransport(entity), await bench.startTransport(entity)];
    const before = await accept(first);
    await complete(first, await before.next());
    const unfinished = await before.next();
    assert.equal(unfinished.messageId, "a1");
    assert.deepEqual(await first.settle([{ verb: "release", delivery: unfinished }]), ["settled"]);
    await before.session.release();
    const after = await accept(second);
    for (const id of ["a1", "a2"]) {
      const delivery = await after.next();
      assert.deepEqual([delivery.messageId, delivery.attempt], [id, 1]);
      await complete(second, delivery);
    }
    assert.deepEqual(before.losses, []);
  });

  test("hands out nothing once it is let go, and leaves what was asked for to the next", async (t) => {
    const bench = await makeBench(t);
    await bench.send(inSession("a", "a0"), "sessions");
    const transport = await bench.startTransport(entity);
    const before = await accept(transport);
    before.session.receive();
    await before.session.release();
    const after = await accept(transport);
    assert.equal((await after.next()).messageId, "a0");
    assert.deepEqual([before.deliveries, before.losses], [[], []]);
  });

  test("settles nothing by itself: what has no order stays, whatever was asked for after it", async (t) => {
    const bench = await makeBench(t);
    await bench.send(inSession("a", "a0", "a1"), "sessions");
    const transport = await bench.startTransport(entity);
    const before = await accept(transport);
    await before.next();
    await complete(transport, await before.next());
    await before.session.release();
    const after = await accept(transport);
    assert.deepEqual([(await after.next()).messageId, bench.account("sessions").totals.completed], ["a0", 1]);
  });

  test("lets go of every session when it stops", async (t) => {
    const bench = await makeBench(t);
    await bench.send([...inSession("a", "a0"), ...inSession("b", "b0")], "sessions");
    const first = await bench.startTransport(entity);
    await (await accept(first)).next();
    await accept(first);
    await first.stop();
    const second = await bench.startTransport(entity);
    const ids = [await accept(second), await accept(second)].map(({ session }) => session.id);
    assert.deepEqual(ids.toSorted(), ["a", "b"]);
  });

  test("gets a message that it gives up again, and goes on behind one that it dead-letters", async (t) => {
    const bench = await makeBench(t);
    await bench.send(inSession("a", "a0", "a1"), "sessions");
    const transport = await bench.startTransport(entity);
    const held = await accept(transport);
    assert.deepEqual(await transport.settle([{ verb: "abandon", delivery: await held.next() }]), ["settled"]);
    const again = await held.next();
    assert.deepEqual([again.messageId, again.attempt], ["a0", 2]);
    const order: SettleOrder = { verb: "dead-letter", delivery: again, reason: "Broken", description: "of session a" };
    assert.deepEqual(await transport.settle([order]), ["settled"]);
    assert.equal((await held.next()).messageId, "a1");
    assert.deepEqual(bench.deadLetters("sessions"), [{ messageId: "a0", reason: "Broken", description: "of session a" }]);
  });

  test("keeps a session as long as it is renewed, by itself or by its message", async (t) => {
    const bench = await makeBench(t);
    await bench.send(inSession("a", "a0"), "sessions");
    const transport = await bench.startTransport(entity);
    const held = await accept(transport);
    const delivery = await held.next();
    for (const renew of [() => held.session.renew(), async () => (await transport.renew([delivery]))[0]]) {
      const beforeMs = held.session.lockedUntilMs;
      bench.advance(lockDurationMs * 0.75);
      const result = await renew();
      assert.ok(result?.kind === "renewed" && result.lockedUntilMs > beforeMs);
      assert.equal(held.session.lockedUntilMs, result.lockedUntilMs);
      assert.equal(delivery.lockedUntilMs >= beforeMs, true);
    }
    await complete(transport, delivery);
    assert.deepEqual(held.losses, []);
  });
}

function describeState(makeBench: (t: TestContext) => Promise<TransportBench>): void {
  test("keeps a session's state from one holder to the next", async (t) => {
    const bench = await makeBench(t);
    await bench.send(inSession("a", "a0"), "sessions");
    const transport = await bench.startTransport(entity);
    const first = await accept(transport);
    assert.equal(await first.session.getState(), undefined);
    for (const text of ["one", '{"count":1,"seen":["a"]}', '"text"', "7"]) {
      assert.equal(await first.session.setState(Buffer.from(text)), "settled");
      assert.equal(Buffer.from((await first.session.getState()) ?? []).toString(), text);
    }
    await first.session.release();
    const second = await accept(transport);
    assert.equal(Buffer.from((await second.session.getState()) ?? []).toString(), "7");
    assert.equal(await second.session.setState(undefined), "settled");
    assert.equal(await second.session.getState(), undefined);
  });

  test("says so when the broker refuses a state", async (t) => {
    const bench = await makeBench(t);
    await bench.send(inSession("a", "a0"), "sessions");
    const transport = await bench.startTransport(entity);
    const { session } = await accept(transport);
    await assert.rejects(session.setState(Buffer.alloc(1024 * 1024 + 1)), (error) => {
      assert.ok(error instanceof TransportError);
      assert.match(error.message, /^expected the state of session 'a' to be taken, found .*at most 1048576 bytes/);
      return true;
    });
    assert.equal(await session.getState(), undefined);
  });
}

function describeLoss(makeBench: (t: TestContext) => Promise<TransportBench>): void {
  test("tells that a session's lock has ended, and who gets it next gets the message with one more attempt", async (t) => {
    const bench = await makeBench(t);
    await bench.send(inSession("a", "a0", "a1"), "sessions");
    const transport = await bench.startTransport(entity);
    const held = await accept(transport);
    const delivery = await held.next();
    bench.advance(lockDurationMs + 1);
    await held.lost();
    assert.notEqual((await transport.settle([{ verb: "complete", delivery }]))[0], "settled");
    assert.equal((await held.session.renew()).kind, "lock-lost");
    assert.notEqual(await held.session.setState(Buffer.from("late")), "settled");
    const next = await accept(transport);
    assert.equal(await next.session.getState(), undefined);
    const again = await next.next();
    assert.deepEqual([again.messageId, again.attempt], ["a0", 2]);
    await complete(transport, again);
    assert.equal((await next.next()).messageId, "a1");
    assert.equal(held.losses.length, 1);
  });

  test("tells whoever listens late that a session is lost, when it asks for a message at the latest", async (t) => {
    const bench = await makeBench(t);
    await bench.send(inSession("a", "a0"), "sessions");
    const transport = await bench.startTransport(entity);
    const session = await within("a session", transport.acceptSession(10_000), 20_000);
    assert.ok(session !== undefined);
    bench.cut();
    await eventually("the broker to have the session back", () => bench.account("sessions").receivers === 0);
    await eventually("its lock not to be renewed", async () => (await session.renew()).kind !== "renewed");
    const held = new Held(session);
    session.receive();
    await held.lost();
    assert.equal(held.deliveries.length, 0);
  });

  test("tells that a session went with its connection, and takes it again on the next", async (t) => {
    const bench = await makeBench(t);
    await bench.send(inSession("a", "a0"), "sessions");
    const transport = await bench.startTransport(entity);
    const held = await accept(transport);
    await held.next();
    bench.cut();
    await held.lost();
    const found = await eventually("the session to be had again", () => transport.acceptSession(500).catch(() => undefined));
    assert.equal((await new Held(found).next()).messageId, "a0");
  });
}
