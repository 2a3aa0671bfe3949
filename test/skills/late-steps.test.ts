// Steps whose repeat is harmless: when they are recorded, and what waits for that.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { type Skill, type SkillContext, TransientError, defineDependency, defineSkill } from "../../runtime/index.ts";
import { lateMs } from "../../runtime/skills/host/late-steps.ts";
import { eventually, within } from "../support/eventually.ts";
import { type Answered, type HostBundle, makeHost } from "./host.ts";

const idempotent = { kind: "idempotent" } as const;

function skillOf(run: (context: SkillContext) => Promise<void>, critical = false): Skill {
  return defineSkill({ name: "late", critical, handles: [{ eventType: "OrderPlaced" }], run });
}

function namesOf(steps: readonly { readonly name: string }[] | undefined): readonly string[] {
  return (steps ?? []).map(({ name }) => name);
}

function lateNames({ answer }: Answered): readonly string[] | undefined {
  assert.ok(answer.kind === "completed", JSON.stringify(answer));
  return answer.steps && namesOf(answer.steps);
}

/** A host whose clock stands still, so that no step takes long, however busy the machine is, and none that waits is due before the test says so. */
async function makeStillHost(...args: Parameters<typeof makeHost>): Promise<HostBundle> {
  const bundle = await makeHost(...args);
  bundle.stillAtMs = performance.now();
  return bundle;
}

test("travel with the end of their run, in their order, and what they emit with it", async (t) => {
  const bundle = await makeStillHost(t, [
    skillOf(async (context) => {
      await context.step("one", idempotent, (step) => step.emit("Noted", {}));
      assert.deepEqual(await context.step("two", idempotent, () => ({ at: new Date(0) })), { at: new Date(0) });
      await context.step("three", idempotent, () => 3);
    }),
  ]);
  bundle.store = "hold";
  const answered = await bundle.run();
  assert.deepEqual([lateNames(answered), bundle.steps], [["one", "two", "three"], []]);
  assert.equal(answered.answer.kind === "completed" && answered.answer.outbox.length, 1);
});

test("are on record before an effect begins that may not be repeated with other results", async (t) => {
  const did: string[] = [];
  const mailer = defineDependency({ name: "mailer", request: async () => void did.push("called") });
  const effects: readonly ((context: SkillContext) => Promise<unknown>)[] = [
    (context) => context.step("pay", () => void did.push("paid")),
    (context) => context.step("pay", { kind: "atMostOnce" }, () => void did.push("paid")),
    (context) => context.step("pay", { kind: "queryable", query: () => undefined }, () => void did.push("paid")),
    (context) => context.call(mailer, {}),
  ];
  for (const effect of effects) {
    const skill = defineSkill({
      name: "late",
      handles: [{ eventType: "OrderPlaced" }],
      uses: [mailer],
      async run(context: SkillContext) {
        await context.step("one", idempotent, () => did.push("one"));
        await context.step("two", idempotent, () => did.push("two"));
        await effect(context);
      },
    });
    did.length = 0;
    const bundle = await makeStillHost(t, [skill], { numbered: ["mailer"], config: new Map() });
    bundle.store = "hold";
    const { answered } = bundle.begin();
    await eventually("both to be on their way", () => bundle.steps.length === 2);
    await new Promise(setImmediate);
    assert.deepEqual(
      [did, namesOf(bundle.steps)],
      [
        ["one", "two"],
        ["one", "two"],
      ],
    );
    bundle.store = "written";
    for (const requestId of [1, 2]) bundle.host.acknowledge(requestId, "written");
    assert.equal(lateNames(await answered), undefined);
    assert.equal(did.length, 3);
  }
});

test("are on their way soon, whatever the run does next", async (t) => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const bundle = await makeHost(t, [
    skillOf(async (context) => {
      await context.step("one", idempotent, () => 1);
      await promise;
    }),
  ]);
  const { answered } = bundle.begin();
  await eventually("the first step to be written", () => bundle.steps.length === 1);
  resolve();
  assert.deepEqual(lateNames(await answered), undefined);
});

test("of a run that fails, or is told to stop, are on record before it ends", async (t) => {
  for (const isStopped of [true, false]) {
    const bundle = await makeHost(t, [
      skillOf(async (context) => {
        await context.step("one", idempotent, () => {
          if (isStopped) bundle.host.interrupt([1], "interrupted");
        });
        await context.step("two", idempotent, () => {
          throw new Error("down");
        });
      }),
    ]);
    const { answer } = await bundle.run();
    assert.deepEqual([answer.kind, namesOf(bundle.steps)], [isStopped ? "interrupted" : "failed", ["one"]]);
  }
});

test("end their run where another worker has it, and fail it where the store does not answer", async (t) => {
  for (const [store, kind] of [
    ["stale", "stale"],
    ["unavailable", "failed"],
  ] as const) {
    let paid = 0;
    const bundle = await makeHost(t, [
      skillOf(async (context) => {
        await context.step("one", idempotent, () => 1);
        await context.step("pay", () => void (paid += 1));
      }),
    ]);
    bundle.store = store;
    const { answer } = await bundle.run();
    assert.deepEqual([answer.kind, paid], [kind, 0]);
    if (answer.kind === "failed") assert.equal(answer.failure.code, "STORE_UNAVAILABLE");
  }
});

test("are recorded at once where they are large, may have to be compensated, or were answered by a fallback", async (t) => {
  const effects: readonly (readonly [effect: (context: SkillContext) => Promise<unknown>, isCritical?: boolean])[] = [
    [(context) => context.step("one", idempotent, () => "x".repeat(20_000))],
    [(context) => context.step("one", { ...idempotent, compensate: () => undefined }, () => 1), true],
    [(context) => context.step("one", idempotent, () => 1), true],
    [
      (context) =>
        context.step("one", { ...idempotent, fallbacks: [{ name: "guess", quality: "degraded", answer: () => 1 }] }, (): number => {
          throw new TransientError("down", { definite: true });
        }),
    ],
  ];
  for (const [effect, isCritical] of effects) {
    const bundle = await makeHost(t, [skillOf((context) => effect(context).then(() => undefined), isCritical)]);
    const answered = await bundle.run();
    assert.equal(lateNames(answered), undefined);
    assert.equal(bundle.steps.at(-1)?.state, "completed");
  }
});

test("are on record before their run goes on where they took long, so that what was called off ends behind them", async (t) => {
  let isNext = false;
  const bundle = await makeStillHost(t, [
    skillOf(async (context) => {
      await context.step("quick", idempotent, () => 1);
      await context.step("long", idempotent, () => void (bundle.skewMs += 21));
      isNext = true;
    }),
  ]);
  bundle.store = "stale";
  const { answer } = await bundle.run();
  assert.deepEqual([answer.kind, isNext, namesOf(bundle.steps)], ["stale", false, ["quick", "long"]]);
});

test("that the store did not take are tried again before another effect, and go with the end of their run, in their order", async (t) => {
  for (const isPaid of [true, false]) {
    const { promise, resolve } = Promise.withResolvers<void>();
    const bundle = await makeStillHost(t, [
      skillOf(async (context) => {
        await context.step("one", idempotent, () => 1);
        await context.step("two", idempotent, () => 2);
        bundle.skewMs += lateMs;
        await promise;
        if (isPaid) await context.step("pay", () => undefined);
      }),
    ]);
    bundle.store = "unavailable";
    const { answered } = bundle.begin();
    await eventually("both to have been refused", () => bundle.steps.length === 2);
    bundle.store = "written";
    bundle.steps.length = 0;
    resolve();
    const names = ["one", "two"];
    assert.deepEqual(
      isPaid ? [lateNames(await answered), namesOf(bundle.steps)] : [lateNames(await answered)],
      isPaid ? [undefined, [...names, "pay"]] : [names],
    );
  }
});

test("a run that could not record a step has ended, whatever its skill makes of that", async (t) => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const bundle = await makeStillHost(t, [
    skillOf(async (context) => {
      await context.step("one", idempotent, () => 1);
      bundle.skewMs += lateMs;
      await promise;
      await context.step("large", idempotent, () => "x".repeat(20_000)).catch(() => undefined);
    }),
  ]);
  bundle.store = "hold";
  const { answered } = bundle.begin();
  await eventually("the first step to be on its way", () => bundle.steps.length === 1);
  resolve();
  await eventually("all to be on their way", () => bundle.steps.length === 2);
  bundle.host.acknowledge(2, "unavailable");
  const { answer } = await answered;
  assert.equal(answer.kind === "failed" && answer.failure.code, "STORE_UNAVAILABLE");
});

test("are no more than a store takes in one write, however small they are", async (t) => {
  const bundle = await makeStillHost(t, [
    skillOf(async (context) => {
      for (let step = 0; step < 5_000; step += 1) await context.step(`${step}`, idempotent, () => undefined);
    }),
  ]);
  const late = lateNames(await bundle.run()) ?? [];
  assert.ok(late.length > 0 && late.length <= 256, `${late.length} of 5000`);
  assert.deepEqual(new Set([...namesOf(bundle.steps), ...late]).size, 5_000);
});

test("a run is not said to have waited for what it did not wait for", async (t) => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const bundle = await makeStillHost(t, [
    skillOf(async (context) => {
      await context.step("one", idempotent, () => 1);
      bundle.skewMs += lateMs;
      await promise;
    }),
  ]);
  bundle.store = "hold";
  const { answered } = bundle.begin();
  await eventually("the first step to be on its way", () => bundle.steps.length === 1);
  bundle.skewMs += 5_000;
  bundle.host.acknowledge(1, "written");
  resolve();
  await answered;
  assert.equal(bundle.recordingMs, 0);
});

test("nothing waits for a record once its run has ended", async (t) => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const bundle = await makeHost(t, [
    skillOf(async (context) => {
      try {
        await context.step("pay", () => 1);
      } finally {
        resolve();
      }
    }),
  ]);
  bundle.store = "hold";
  assert.equal((await bundle.run({ timeoutMs: 20 })).answer.kind, "timed-out");
  await within("the skill to hear of it", promise);
});
