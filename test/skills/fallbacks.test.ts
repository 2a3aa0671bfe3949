import { strict as assert } from "node:assert";
import { test } from "node:test";
import { encodeVerdict } from "#runtime/core/compensation.ts";
import { decodeStep } from "#runtime/skills/host/step-codec.ts";
import { type Fallback, PermanentError, type SkillContext, type StepKind, TransientError, defineDependency, defineSkill } from "#runtime/index.ts";
import { makeHost } from "./host.ts";

const handles = [{ eventType: "OrderPlaced" }];
const template: Fallback<string> = { name: "template", quality: "template", answer: () => "from a template" };

function down(definite = true): never {
  throw new TransientError("down", { code: "DOWN", definite });
}

/** A skill of one step, and what its result and quality were. */
function oneStep(kind: Exclude<StepKind, "queryable">, fallbacks: readonly Fallback<string>[], effect: () => string) {
  const seen: { result: string; quality: string }[] = [];
  const skill = defineSkill({
    name: "test",
    handles,
    async run(context) {
      const result = await context.step("ask", { kind, fallbacks }, effect);
      seen.push({ result, quality: context.qualityOf("ask") });
      context.emit("Asked", { result });
    },
  });
  return { seen, skill };
}

function emittedOf(answer: unknown): { quality?: string; header: unknown; payload: unknown }[] {
  const { kind, outbox } = answer as { kind: string; outbox: { body: Uint8Array; headers: Record<string, unknown> }[] };
  assert.equal(kind, "completed");
  return outbox.map(({ body, headers }) => ({ ...(JSON.parse(Buffer.from(body).toString()) as { payload: unknown }), header: headers["quality"] }));
}

test("the quality of a fallback reaches the step's result, its record and the emitted event, also of a resumed run", async (t) => {
  const { seen, skill } = oneStep("keyed", [template], () => down());
  const bundle = await makeHost(t, [skill]);
  const { answer } = await bundle.run();
  const [record] = bundle.steps;
  assert.ok(record);
  assert.deepEqual(decodeStep(record), { result: "from a template", emitted: [], quality: "template" });
  const resumed = await bundle.run({ steps: [record], attempt: 2 });
  const expected = { result: "from a template", quality: "template" };
  assert.deepEqual(seen, [expected, expected]);
  for (const event of [...emittedOf(answer), ...emittedOf(resumed.answer)]) {
    assert.deepEqual([event.quality, event.header, event.payload], ["template", "template", { result: "from a template" }]);
  }
});

test("a step that needs no fallback is full, and says nothing of quality in its events", async (t) => {
  const { seen, skill } = oneStep("keyed", [template], () => "answered");
  const bundle = await makeHost(t, [skill]);
  const [event] = emittedOf((await bundle.run()).answer);
  assert.deepEqual(seen, [{ result: "answered", quality: "full" }]);
  assert.equal(event?.quality, undefined);
  assert.equal(event?.header, undefined);
});

test("after an unknown outcome only a fallback whose author allows it answers", async (t) => {
  const refusing = oneStep("keyed", [template], () => down(false));
  const { answer } = await (await makeHost(t, [refusing.skill])).run();
  assert.equal(answer.kind === "failed" && answer.failure.code, "DOWN");
  const allowing = oneStep("keyed", [template, { ...template, name: "late", quality: "degraded", whenUnknown: true }], () => down(false));
  await (await makeHost(t, [allowing.skill])).run();
  assert.deepEqual(allowing.seen, [{ result: "from a template", quality: "degraded" }]);
});

test("fallbacks are asked in order, by their condition; when none answers, the step fails with its own error", async (t) => {
  const asked: string[] = [];
  const failing = (name: string, when: boolean): Fallback<string> => ({
    name,
    quality: "degraded",
    when: () => when,
    answer: () => {
      asked.push(name);
      throw new PermanentError("no", { code: "NO" });
    },
  });
  const { skill } = oneStep("keyed", [failing("first", true), failing("skipped", false), failing("last", true)], () => down());
  const { answer } = await (await makeHost(t, [skill])).run();
  assert.deepEqual(asked, ["first", "last"]);
  assert.deepEqual(answer.kind === "failed" && [answer.failure.code, answer.retryable], ["DOWN", true]);
});

test("a fallback that may yet answer lets the step be tried again, though the step's own failure is permanent", async (t) => {
  const unanswered: Fallback<string> = {
    name: "second",
    quality: "degraded",
    answer: () => {
      throw new TransientError("no answer", { code: "LOST", definite: false });
    },
  };
  const refused = (): never => {
    throw new PermanentError("no", { code: "NO" });
  };
  const { answer } = await (await makeHost(t, [oneStep("keyed", [unanswered], refused).skill])).run();
  assert.deepEqual(answer.kind === "failed" && [answer.failure.code, answer.retryable], ["LOST", true]);
});

test("a defect is no reason for a fallback, neither in the effect nor in one of the chain", async (t) => {
  const defect = (): never => {
    throw new TypeError("defect");
  };
  const chain: readonly Fallback<string>[] = [{ name: "broken", quality: "degraded", answer: defect }, template];
  for (const effect of [defect, () => down()]) {
    const { answer } = await (await makeHost(t, [oneStep("keyed", chain, effect).skill])).run();
    assert.equal(answer.kind === "failed" && answer.failure.message, "defect");
  }
});

test("a fallback that takes too long gives way with unknown outcome, and what is left of it may do nothing", async (t) => {
  let late = Promise.withResolvers<unknown>();
  const hanging: Fallback<string> = {
    name: "slow",
    quality: "cached",
    timeoutMs: 5,
    answer: (step) =>
      new Promise(() => {
        step.signal.addEventListener("abort", () => {
          try {
            step.emit("Late", {});
          } catch (error) {
            late.resolve(error);
          }
        });
      }),
  };
  const alone = oneStep("keyed", [hanging, template], () => down());
  const { answer } = await (await makeHost(t, [alone.skill])).run();
  assert.equal(answer.kind === "failed" && answer.failure.code, "DOWN");
  late = Promise.withResolvers();
  const followed = oneStep("keyed", [hanging, { ...template, whenUnknown: true }], () => down());
  const events = emittedOf((await (await makeHost(t, [followed.skill])).run()).answer);
  assert.deepEqual(followed.seen, [{ result: "from a template", quality: "template" }]);
  assert.equal(((await late.promise) as PermanentError).code, "STEP_GIVEN_UP");
  assert.equal(events.length, 1);
});

test("an at-most-once step is parked when a fallback leaves its outcome unknown, and free again when all failed for certain", async (t) => {
  const failing = (definite: boolean): Fallback<string> => ({ name: "second", quality: "degraded", answer: () => down(definite) });
  const unknown = await (await makeHost(t, [oneStep("atMostOnce", [failing(false)], () => down()).skill])).run();
  assert.equal(unknown.answer.kind, "outcome-unknown");
  const bundle = await makeHost(t, [oneStep("atMostOnce", [failing(true)], () => down()).skill]);
  assert.equal((await bundle.run()).answer.kind, "failed");
  assert.deepEqual(
    bundle.steps.map(({ kind, state }) => [kind, state]),
    [
      ["atMostOnce", "intent"],
      ["idempotent", "intent"],
    ],
  );
});

test("calls of a fallback have keys of their own, and what the failed effect emitted is dropped", async (t) => {
  const keys: string[] = [];
  const service = defineDependency<boolean, string>({
    name: "service",
    retry: { attemptsMax: 1 },
    request: async (fails, { idempotencyKey }) => {
      keys.push(idempotencyKey);
      return fails ? down() : "second";
    },
  });
  const skill = defineSkill({
    name: "test",
    handles,
    uses: [service],
    run: (context: SkillContext) =>
      context.step("ask", { fallbacks: [{ name: "again", quality: "degraded", answer: (step) => step.call(service, false) }] }, (step) => {
        step.emit("Dropped", {});
        return step.call(service, true);
      }),
  });
  const bundle = await makeHost(t, [skill]);
  assert.deepEqual(emittedOf((await bundle.run()).answer), []);
  assert.equal(new Set(keys).size, 2);
  assert.equal(keys[1], `${keys[0]}-again`);
});

test("a chain's fallback is given the results before it", async (t) => {
  const seen: unknown[] = [];
  const skill = defineSkill({
    name: "test",
    handles,
    steps: (begin) =>
      begin
        .step("first", {}, () => 20)
        .step("second", { fallbacks: [{ name: "sum", quality: "degraded", answer: (_step, error, { first }) => first + error.code.length }] }, (): number =>
          down(),
        )
        .step("third", {}, (step, { second }) => {
          seen.push(second, step.qualityOf("second"), step.qualityOf("first"));
        }),
  });
  await (await makeHost(t, [skill])).run();
  assert.deepEqual(seen, [24, "degraded", "full"]);
});

test("a chain that cannot be meant is refused", async (t) => {
  const wrong: readonly (readonly [unknown, RegExp])[] = [
    [[], /a list of 1 to 10 fallbacks/],
    [[{ ...template, quality: "good" }], /quality: expected one of 'full'/],
    [[template, template], /each fallback's name once/],
    [[{ ...template, timeoutMs: 0 }], /timeoutMs: expected a whole number from 1/],
  ];
  for (const [fallbacks, expected] of wrong) {
    const { answer } = await (await makeHost(t, [oneStep("keyed", fallbacks as never, () => "x").skill])).run();
    assert.equal(answer.kind === "failed" && answer.retryable, false);
    assert.match(answer.kind === "failed" ? answer.failure.message : "", expected);
  }
});

test("a compensation is given the fallback's result, and its quality", async (t) => {
  const seen: unknown[] = [];
  const skill = defineSkill({
    name: "test",
    handles,
    critical: true,
    async run(context) {
      const compensate = (step: { qualityOf(name: string): string }, result: unknown): unknown => seen.push(result, step.qualityOf("ask"));
      await context.step("ask", { fallbacks: [template], compensate }, (): string => down());
    },
  });
  const bundle = await makeHost(t, [skill]);
  await bundle.run();
  const done = bundle.steps.filter(({ state }) => state === "completed");
  const verdict = encodeVerdict({ reason: "PERMANENT", description: "refused", failures: 1, losses: 0 });
  assert.equal((await bundle.run({ steps: [...done, verdict] })).answer.kind, "compensated");
  assert.deepEqual(seen, ["from a template", "template"]);
});

test("a step with a compensation whose chain fails for certain has its intent withdrawn, and keeps it after an unknown outcome", async (t) => {
  for (const [definite, last] of [
    [true, "idempotent"],
    [false, "keyed"],
  ] as const) {
    const second: Fallback<string> = { name: "second", quality: "degraded", answer: () => down(definite) };
    const skill = defineSkill({
      name: "test",
      handles,
      critical: true,
      run: (context) => context.step("ask", { fallbacks: [second], compensate: () => undefined }, (): string => down()),
    });
    const bundle = await makeHost(t, [skill]);
    assert.equal((await bundle.run()).answer.kind, "failed");
    assert.equal(bundle.steps.at(-1)?.kind, last);
  }
});
