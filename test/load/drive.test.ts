// Plain streams, profiles as files, and driving them: by a seed and a virtual clock.
import { strict as assert } from "node:assert";
import { globSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { describe, test } from "node:test";
import { Drive, type Ended, latenciesOf } from "#load/generator/drive.ts";
import { generatePlain, placeOf, type PlainOptions } from "#load/generator/plain.ts";
import { readProfile } from "#load/generator/profile.ts";
import type { Timer } from "#runtime/core/clock.ts";
import type { OutgoingMessage } from "#runtime/core/delivery.ts";
import type { Publisher } from "#runtime/ports/publisher.ts";
import { eventually, within } from "../support/eventually.ts";

const profiles = resolve(import.meta.dirname, "../../load/generator/profiles");

/** A clock that moves only to the next timer, at once. */
class FakeClock {
  nowMs = 0;

  monotonicMs(): number {
    return this.nowMs;
  }

  after(delayMs: number, action: () => void): Timer {
    queueMicrotask(() => {
      this.nowMs += delayMs;
      action();
    });
    return { cancel: () => undefined };
  }
}

class FakePublisher implements Publisher {
  readonly sent: OutgoingMessage[] = [];
  readonly #sending: (messages: readonly OutgoingMessage[]) => void;

  constructor(sending: (messages: readonly OutgoingMessage[]) => void = () => undefined) {
    this.#sending = sending;
  }

  async start(): Promise<void> {}
  async stop(): Promise<void> {}

  async send(_entity: string, messages: readonly OutgoingMessage[]): Promise<void> {
    this.#sending(messages);
    this.sent.push(...messages);
  }
}

interface Body {
  readonly eventId: string;
  readonly projectId: string;
  readonly tenantId: string;
  readonly eventType: string;
  readonly payload: Readonly<Record<string, unknown>>;
}

const bodyOf = ({ body }: OutgoingMessage): Body => JSON.parse(Buffer.from(body).toString()) as Body;

describe("a plain stream", () => {
  const options: PlainOptions = {
    events: 4_000,
    seed: 7,
    eventTypes: { Quick: 3, Slow: 1 },
    sizes: { kind: "skewed", leastBytes: 400, mostBytes: 40_000 },
    keys: { count: 100, zipf: 1 },
    tenants: { count: 4, zipf: 0 },
    duplicates: 0.1,
    poison: 0.02,
  };

  test("spreads events over types, keys, tenants and sizes as was asked for", () => {
    const firsts = [...generatePlain(options)].filter(({ kind }) => kind === "first");
    const bodies = firsts.map(({ message }) => bodyOf(message));
    const share = (isOne: (body: Body) => boolean): number => bodies.filter(isOne).length / bodies.length;
    assert.ok(Math.abs(share(({ eventType }) => eventType === "Quick") - 0.75) < 0.03);
    // The first of a hundred keys has 1 of 5.19 by Zipf's law, the tenth a tenth of it.
    assert.ok(Math.abs(share(({ projectId }) => projectId === "key-0") - 0.193) < 0.03);
    assert.ok(Math.abs(share(({ projectId }) => projectId === "key-9") - 0.0193) < 0.01);
    for (let tenant = 0; tenant < 4; tenant += 1) assert.ok(Math.abs(share(({ tenantId }) => tenantId === `tenant-${tenant}`) - 0.25) < 0.03);
    const sizes = firsts.map(({ message }) => message.body.byteLength).toSorted((a, b) => a - b);
    assert.ok(sizes[0]! >= 400 && sizes.at(-1)! <= 40_000);
    // Half lie below the geometric mean of the bounds, 4 000.
    assert.ok(Math.abs(sizes[2_000]! / 4_000 - 1) < 0.15, `found ${sizes[2_000]}`);
  });

  test("brings duplicates under the same event id and poison that nobody can read, and is the same each time", () => {
    const all = [...generatePlain(options)];
    const ofKind = (wanted: string): number => all.filter(({ kind }) => kind === wanted).length;
    assert.equal(ofKind("first"), 4_000);
    assert.ok(Math.abs(ofKind("duplicate") / 400 - 1) < 0.2, `found ${ofKind("duplicate")}`);
    assert.ok(Math.abs(ofKind("poison") / 80 - 1) < 0.4, `found ${ofKind("poison")}`);
    for (const { kind, message, index, eventId } of all) {
      if (kind === "poison") assert.equal(placeOf(message.messageId), undefined);
      else assert.deepEqual([bodyOf(message).eventId, placeOf(eventId)], [eventId, index]);
    }
    assert.deepEqual([...generatePlain(options)], all);
    assert.notDeepEqual([...generatePlain({ ...options, seed: 8 })], all);
  });

  test("has bodies of exactly the size, what was asked for in the payload, or the webhook corpus", () => {
    for (const { message } of generatePlain({ events: 200, eventTypes: { Any: 1 }, sizes: { kind: "fixed", bytes: 777 }, content: { spin: 5 } })) {
      assert.equal(message.body.byteLength, 777);
      assert.equal(bodyOf(message).payload["spin"], 5);
    }
    const names = new Set<unknown>();
    for (const { message } of generatePlain({ events: 300, eventTypes: { Any: 1 }, sizes: { kind: "webhooks", bytesMax: 20_000 } })) {
      const { payload } = bodyOf(message);
      assert.equal(typeof payload["event"], "object");
      names.add(payload["name"]);
    }
    assert.ok(names.size > 20, `expected many kinds of webhooks, found ${names.size}`);
  });
});

describe("a profile", () => {
  test("of those that come with the project is read", () => {
    const files = globSync("*.json", { cwd: profiles });
    assert.ok(files.length >= 5);
    const kinds = new Set(files.map((file) => readProfile(join(profiles, file)).arrivals.kind));
    assert.deepEqual([...kinds].sort(), ["bursts", "closed", "constant", "diurnal", "poisson", "ramp"]);
  });

  test("that is wrong is refused with each place, what is expected there and what was found", () => {
    const folder = mkdtempSync(join(tmpdir(), "holdfast-profile-"));
    try {
      const file = join(folder, "bad.json");
      const good = { about: "x", events: 10, arrivals: { kind: "poisson", perSecond: 5 }, eventTypes: { Any: 1 }, sizes: { kind: "fixed", bytes: 100 } };
      const refusal = (changed: unknown): string => {
        writeFileSync(file, typeof changed === "string" ? changed : JSON.stringify(changed));
        try {
          readProfile(file);
        } catch (error) {
          return (error as Error).message;
        }
        return "nothing was refused";
      };
      assert.equal(refusal(good), "nothing was refused");
      assert.match(refusal("{"), /bad\.json: expected a file with JSON/);
      assert.match(refusal({ ...good, arrivals: { kind: "constant", perSecond: -3 } }), /bad\.json: arrivals\.perSecond: .*>0, found -3/);
      assert.match(refusal({ ...good, events: 0, poison: 2 }), /events: .*, found 0; poison: .*, found 2/);
      assert.match(refusal({ ...good, evnts: 5 }), /evnts/);
      for (const kind of ["between", "skewed"])
        assert.match(refusal({ ...good, sizes: { kind, leastBytes: 9, mostBytes: 8 } }), /sizes\.leastBytes: expected no more than mostBytes, found 9/);
      assert.match(refusal({ ...good, eventTypes: { Any: 0 } }), /eventTypes: expected a weight above 0, found \{"Any":0\}/);
      assert.match(
        refusal({ ...good, arrivals: { kind: "bursts", perSecond: 1, burstPerSecond: 9, everyMs: 100, burstMs: 200 } }),
        /arrivals\.burstMs: expected less than everyMs, found 200/,
      );
      assert.match(refusal({ ...good, sizes: undefined }), /sizes: .*, found nothing/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe("a drive", () => {
  const profile = {
    seed: 3,
    events: 200,
    eventTypes: { Any: 1 },
    sizes: { kind: "fixed", bytes: 300 },
    keys: { count: 1, zipf: 0 },
    tenants: { count: 1, zipf: 0 },
    duplicates: 0,
    poison: 0,
  } as const;

  test("measures from when an event was meant to be sent: what waits behind a stall has waited, too", async () => {
    const clock = new FakeClock();
    // The broker stands still for a second at the hundredth event; each event ends when it has been sent.
    const ended: Ended[] = [];
    let isStalled = false;
    const publisher = new FakePublisher((messages) => {
      for (const { messageId } of messages) {
        const place = placeOf(messageId)!;
        if (place === 100 && !isStalled) {
          isStalled = true;
          clock.nowMs += 1_000;
        }
        ended.push({ place, atMs: clock.nowMs });
      }
    });
    const drive = new Drive({ profile: { ...profile, arrivals: { kind: "constant", perSecond: 100 } }, publisher, entity: "queue", clock });
    const report = await drive.run();
    assert.equal(report.accepted.first, 200);
    const latencies = latenciesOf(drive, ended);
    assert.equal(latencies.count, 200);
    assert.equal(drive.intendedAtMs(150), 1_500);
    // Events 100 to 199 were due in that second: the nth of them waited 1 s less 10 ms for each before it.
    assert.ok(Math.abs(latencies.at(100) - 1_000) < 2);
    assert.ok(Math.abs(latencies.at(75) - 500) < 15, `found ${latencies.at(75)}`);
    assert.equal(latencies.at(50), 0);
    const late = latenciesOf(drive, ended, 1_500, 2_000);
    assert.deepEqual([late.count, Math.round(late.at(100) / 10)], [50, 50]);
  });

  test("in a closed loop keeps as many under way as was asked for, and goes on as they end", async () => {
    const publisher = new FakePublisher();
    const drive = new Drive({
      profile: { ...profile, duplicates: 0.2, poison: 0.1, arrivals: { kind: "closed", inFlight: 10 } },
      publisher,
      entity: "queue",
      clock: new FakeClock(),
    });
    const running = drive.run();
    const sent = (): Set<number> => new Set(publisher.sent.map(({ messageId }) => placeOf(messageId)).filter((place) => place !== undefined));
    await eventually("ten events", () => sent().size === 10);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(sent().size, 10);
    drive.ended(0);
    drive.ended(0);
    await eventually("one more, however often its predecessor ends", () => sent().size === 11);
    for (let place = 1; place < 200; place += 1) {
      await eventually("the next", () => sent().has(place));
      drive.ended(place);
    }
    const report = await running;
    assert.equal(report.accepted.first, 200);
    assert.ok(report.accepted.duplicate > 20 && report.accepted.poison > 5);
  });

  test("in a closed loop ends at the signal, and when nothing can be sent, though what is under way never ends", async () => {
    const closed = { ...profile, arrivals: { kind: "closed", inFlight: 10 } } as const;
    const stop = new AbortController();
    const publisher = new FakePublisher();
    const running = new Drive({ profile: closed, publisher, entity: "queue", clock: new FakeClock() }).run(stop.signal);
    await eventually("ten events", () => publisher.sent.length === 10);
    stop.abort();
    assert.equal((await within("the drive to end", running)).accepted.first, 10);
    const refusing = new FakePublisher(() => {
      throw new Error("nobody there");
    });
    const report = await within("the drive to end", new Drive({ profile: closed, publisher: refusing, entity: "queue", clock: new FakeClock() }).run());
    assert.deepEqual([report.failure, report.unconfirmed, report.accepted.first], ["nobody there", 10, 0]);
  });
});
