// The bounds that Azure has for settings, over every way in, and the option that lifts them.
import { strict as assert } from "node:assert";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { type BrokerOptions, startBroker } from "#load/broker/broker.ts";
import { BrokerConfigError } from "#load/broker/entities/config-checks.ts";
import { administrationOf } from "../support/broker-administration.ts";
import { startBench } from "../support/broker.ts";

interface Bound {
  readonly what: string;
  /** As `startBroker` takes it; undefined = our own form has no such setting. */
  readonly own: readonly [within: object, beyond: object] | undefined;
  /** As the vendor's configuration has it; administration names it the same, beginning with a small letter. */
  readonly vendor: readonly [within: Readonly<Record<string, string>>, beyond: Readonly<Record<string, string>>];
  /** A topic can be given it, too. */
  readonly isOfTopics: boolean;
  readonly refusal: RegExp;
}

const bounds: readonly Bound[] = [
  {
    what: "a lock over 5 minutes",
    own: [{ lockDurationMs: 300_000 }, { lockDurationMs: 300_001 }],
    vendor: [{ LockDuration: "PT5M" }, { LockDuration: "PT5M1S" }],
    isOfTopics: false,
    refusal: /exceeds the allowed maximum of .*5.* minutes\. lockDurationMs: expected at most 300000/,
  },
  {
    what: "deletion when idle for under 5 minutes",
    own: [{ autoDeleteOnIdleMs: 300_000 }, { autoDeleteOnIdleMs: 299_999 }],
    vendor: [{ AutoDeleteOnIdle: "PT5M" }, { AutoDeleteOnIdle: "PT4M59S" }],
    isOfTopics: true,
    refusal: /AutoDeleteOnIdle must be at least .*autoDeleteOnIdleMs: expected at least 300000/,
  },
  {
    what: "a duplicate window over 7 days",
    own: [{ duplicateWindowMs: 604_800_000 }, { duplicateWindowMs: 604_800_001 }],
    vendor: [{ DuplicateDetectionHistoryTimeWindow: "P7D" }, { DuplicateDetectionHistoryTimeWindow: "P7DT1S" }],
    isOfTopics: true,
    refusal: /duplicateWindowMs: expected 20000 to 604800000/,
  },
  {
    what: "a duplicate window under 20 seconds",
    own: [{ duplicateWindowMs: 20_000 }, { duplicateWindowMs: 19_999 }],
    vendor: [{ DuplicateDetectionHistoryTimeWindow: "PT20S" }, { DuplicateDetectionHistoryTimeWindow: "PT19S" }],
    isOfTopics: true,
    refusal: /duplicateWindowMs: expected 20000 to 604800000/,
  },
  {
    what: "metadata over 1024 characters",
    own: undefined,
    vendor: [{ UserMetadata: "x".repeat(1024) }, { UserMetadata: "x".repeat(1025) }],
    isOfTopics: true,
    refusal: /userMetadata: expected at most 1024 characters.*found 1025/,
  },
];

const smallFirst = (settings: Readonly<Record<string, string>>): object =>
  Object.fromEntries(Object.entries(settings).map(([name, value]) => [`${name.charAt(0).toLowerCase()}${name.slice(1)}`, value]));
const vendorOf = (Queues: unknown, Topics: unknown = []): unknown => ({ UserConfig: { Namespaces: [{ Name: "n", Queues, Topics }] } });

function configsOf({ own, vendor, isOfTopics }: Bound, which: 0 | 1): unknown[] {
  const [mine, theirs] = [own?.[which], vendor[which]];
  return [
    ...(mine === undefined ? [] : [{ queues: [{ name: "a", ...mine }] }, { topics: [{ name: "t", subscriptions: [{ name: "s", ...mine }] }] }]),
    ...(mine === undefined || !isOfTopics ? [] : [{ topics: [{ name: "t", ...mine, subscriptions: [] }] }]),
    vendorOf([{ Name: "a", Properties: theirs }]),
    vendorOf([], [{ Name: "t", Subscriptions: [{ Name: "s", Properties: theirs }] }]),
    ...(isOfTopics ? [vendorOf([], [{ Name: "t", Properties: theirs }])] : []),
  ];
}

async function starts(options: BrokerOptions): Promise<void> {
  await (await startBroker(options)).stop();
}

for (const bound of bounds) {
  const { what, vendor, isOfTopics, refusal } = bound;
  test(`refuses ${what} in every form of configuration, and names the option that lifts it`, async () => {
    for (const entities of configsOf(bound, 0)) await starts({ entities });
    for (const entities of configsOf(bound, 1)) {
      await assert.rejects(startBroker({ entities }), (error) => error instanceof BrokerConfigError && /relaxed/.test(error.message), JSON.stringify(entities));
      await starts({ entities, relaxed: true });
    }
  });

  test(`refuses ${what} by administration, to make it and to change it, and names the option that lifts it`, async (t) => {
    const [within, beyond] = vendor.map(smallFirst);
    const entities = { queues: ["there"], topics: [{ name: "topic", subscriptions: ["s"] }] };
    const { broker } = await startBench(t, { entities });
    const admin = administrationOf(broker);
    const refused = (error: Error & { readonly statusCode?: number }): boolean =>
      error.statusCode === 400 && /SubCode=40000\. /.test(error.message) && refusal.test(error.message) && /--relaxed/.test(error.message);
    await admin.createQueue("q", within);
    await assert.rejects(admin.createQueue("other", beyond), refused);
    await assert.rejects(admin.updateQueue({ ...(await admin.getQueue("there")), ...beyond }), refused);
    if (!("duplicateDetectionHistoryTimeWindow" in (within ?? {}))) {
      await admin.createSubscription("topic", "made", within);
      await assert.rejects(admin.createSubscription("topic", "other", beyond), refused);
      await assert.rejects(admin.updateSubscription({ ...(await admin.getSubscription("topic", "s")), ...beyond }), refused);
    }
    if (isOfTopics) {
      await admin.createTopic("t", within);
      await assert.rejects(admin.createTopic("other", beyond), refused);
      await assert.rejects(admin.updateTopic({ ...(await admin.getTopic("topic")), ...beyond }), refused);
    }
    const relaxed = administrationOf((await startBench(t, { entities, relaxed: true })).broker);
    await relaxed.createQueue("q", beyond);
    await relaxed.updateQueue({ ...(await relaxed.getQueue("there")), ...beyond });
  });
}

test("refuses what an earlier run kept beyond the bounds, leaves the folder free, and takes it with the option", async (t) => {
  const data = mkdtempSync(join(tmpdir(), "holdfast-bounds-"));
  t.after(() => rmSync(data, { recursive: true, force: true }));
  const relaxed = await startBroker({ data, relaxed: true });
  await administrationOf(relaxed).createQueue("made", { lockDuration: "PT10M" });
  await relaxed.stop();
  await assert.rejects(startBroker({ data }), /made\.lockDurationMs: expected at most 300000 .*--relaxed.*found 600000/);
  const again = await startBroker({ data, relaxed: true });
  assert.equal((await administrationOf(again).getQueue("made")).lockDuration, "PT10M");
  await again.stop();
});

test("holds to Azure's bounds beside the emulator's narrower ones, and to none of both at once", async () => {
  await assert.rejects(
    startBroker({ strict: true, entities: { queues: [{ name: "a", autoDeleteOnIdleMs: 299_999 }] } }),
    /a\.autoDeleteOnIdleMs: expected at least 300000 .*--strict/,
  );
  await assert.rejects(startBroker({ strict: true, relaxed: true }), /strict and relaxed: expected one of them/);
});
