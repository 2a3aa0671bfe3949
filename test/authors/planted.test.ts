// Mistakes that skill authors make, planted: every way of running the skill finds each, and names the line.
import { strict as assert } from "node:assert";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { type HttpDependency, PermanentError, type Skill, type SkillContext, defineDependency, defineSkill } from "#runtime/index.ts";
import { isLong } from "../support/long.ts";
import { EveryWayError, type Stub, stub, testSkill } from "#runtime/testing/index.ts";

const bank: HttpDependency = defineDependency({ name: "bank" });
const mail: HttpDependency = defineDependency({ name: "mail" });
const stubs = [stub(bank, { status: 201, body: { id: "charge-1" } }), stub(mail, { status: 202 })];
const handles = [{ eventType: "OrderPlaced" }];

const skillOf = (run: (context: SkillContext) => Promise<void>): Skill => defineSkill({ name: "order", handles, uses: [bank, mail], run });

/** The line of this file that holds `mark`. */
function lineOf(mark: string): number {
  const lines = readFileSync(import.meta.filename, "utf8").split("\n");
  return lines.findIndex((line) => line.endsWith(`// ${mark}`)) + 1;
}

async function found(skill: Skill, dependencies: readonly Stub[] = stubs, only?: string): Promise<EveryWayError> {
  const error: unknown = await testSkill.everyWay(skill, { dependencies, ...(only === undefined ? {} : { only }) }).then(
    () => new Error("expected a way that differs, all are the same"),
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof EveryWayError)) throw error;
  return error;
}

function assertNames(error: EveryWayError, mark: string, what: RegExp): void {
  assert.ok(error.message.includes(`${import.meta.filename}:${lineOf(mark)}:`), `expected the line of ${mark}, ${lineOf(mark)}, in:\n${error.message}`);
  assert.match(error.message, what);
  assert.match(error.message, /ways +cases +differ\n/);
  assert.match(error.message, /repeat it with everyWay\(…, \{ only: "/);
}

test("a skill whose effects are in steps ends the same in every way", async () => {
  const skill = skillOf(async (context) => {
    const charge = await context.step("charge", (step) => step.call(bank, { method: "POST", path: "/charges", body: { amount: 12 } }));
    await context.step("tell", (step) => step.call(mail, { method: "POST", path: "/mails", body: charge.body }));
    context.emit("OrderCharged", charge.body);
  });
  const { undisturbed, cases, rows } = await testSkill.everyWay(skill, { dependencies: stubs });
  assert.equal(undisturbed.outcome, "completed");
  assert.deepEqual(
    undisturbed.steps.map(({ name }) => name),
    ["charge", "tell"],
  );
  assert.ok(cases > 50, `found ${cases} cases`);
  assert.ok(rows.every(({ failed }) => failed === 0));
});

test("an effect outside of a step is found", async () => {
  const skill = skillOf(async (context) => {
    await context.step("charge", (step) => step.call(bank, { method: "POST", path: "/charges", body: { amount: 12 } }));
    await context.call(mail, { method: "POST", path: "/mails" }); // outside
    await context.step("confirm", (step) => step.call(bank, { method: "POST", path: "/confirmations" }));
  });
  assertNames(
    await found(skill),
    "outside",
    /the call of 'mail' outside of steps at .* is made again each time the run is resumed; put it into a context\.step/,
  );
});

test("a step whose name varies is found", async () => {
  const skill = skillOf(async (context) => {
    const name = `charge-${context.attempt}`;
    await context.step(name, async (step) => {
      await step.call(bank, { method: "POST", path: "/charges" }); // varying name
    });
  });
  assertNames(
    await found(skill),
    "varying name",
    /has an idempotency key that it does not have without trouble, so that its effect happens twice; name the step the same/,
  );
});

test("a call that goes out without its key after a crash is found", async () => {
  const keys = new Map<string, string>();
  const skill = skillOf(async (context) => {
    await context.step("charge", (step) => {
      // A key of its own, remembered in the process alone.
      const key = context.attempt === 1 ? "order-1" : randomUUID();
      keys.set(key, key);
      return step.call(bank, { method: "POST", path: "/charges", body: { key } }); // own key
    });
  });
  assertNames(await found(skill), "own key", /asks under the same idempotency key for something else than before/);
});

/** Mistakes of one kind each: what the message must say, and the line that it must name, where the mistake is a call's. */
const mistakes: readonly (readonly [what: string, skill: Skill, said: RegExp, mark?: string])[] = [
  [
    "the time in a step's name",
    skillOf(async (context) => {
      await context.step(`charge-${Date.now()}`, (step) => step.call(bank, { method: "POST", path: "/charges" })); // time in a name
    }),
    /has an idempotency key that it does not have without trouble/,
    "time in a name",
  ],
  [
    "chance in what an effect asks for",
    skillOf(async (context) => {
      await context.step("charge", (step) => step.call(bank, { method: "POST", path: "/charges", body: { nonce: Math.random() } })); // chance
    }),
    /asks under the same idempotency key for something else than before/,
    "chance",
  ],
  [
    "the time in what an effect asks for",
    skillOf(async (context) => {
      await context.step("charge", (step) => step.call(bank, { method: "POST", path: "/charges", body: { at: new Date().toISOString() } })); // time
    }),
    /asks under the same idempotency key for something else than before/,
    "time",
  ],
  [
    "an effect after the last step",
    skillOf(async (context) => {
      await context.step("charge", (step) => step.call(bank, { method: "POST", path: "/charges" }));
      await context.call(mail, { method: "POST", path: "/mails" }); // after the last step
    }),
    /the call of 'mail' outside of steps at .* is made again each time the run is resumed/,
    "after the last step",
  ],
  [
    "a step that nobody waits for",
    skillOf(async (context) => {
      void context.step("charge", (step) => step.call(bank, { method: "POST", path: "/charges" })).catch(() => undefined);
    }),
    /expected the event to complete without trouble, found that it is dead-lettered as STEP_NOT_AWAITED/,
  ],
  [
    "a call in a step that the step does not wait for",
    skillOf(async (context) => {
      await context.step("tell", (step) => {
        void step.call(mail, { method: "POST", path: "/mails" }).catch(() => undefined); // not awaited
      });
      await context.step("charge", (step) => step.call(bank, { method: "POST", path: "/charges" }));
    }),
    /the call of 'mail' in step 'tell' at .* was made and never carried out, and the run ended well all the same; wait for it/,
    "not awaited",
  ],
  [
    "a state of the module that runs share",
    ((): Skill => {
      const seen = new Set<string>();
      return skillOf(async (context) => {
        if (seen.has(context.event.eventId)) return;
        await context.step("charge", (step) => step.call(bank, { method: "POST", path: "/charges" })); // once a process
        seen.add(context.event.eventId);
      });
    })(),
    /the call of 'bank' in step 'charge' at .* was never made, and the run ended well all the same/,
    "once a process",
  ],
  [
    "a number that a module counts up",
    ((): Skill => {
      let number = 0;
      return skillOf(async (context) => {
        number += 1;
        const body = { number };
        await context.step("charge", (step) => step.call(bank, { method: "POST", path: "/charges", body })); // counted
      });
    })(),
    /asks under the same idempotency key for something else than before/,
    "counted",
  ],
  [
    "an error that is swallowed",
    skillOf(async (context) => {
      try {
        await context.step("charge", (step) => step.call(bank, { method: "POST", path: "/charges" })); // swallowed
      } catch (error) {
        context.log.error("not charged", { error: String(error) });
      }
      context.emit("OrderCharged", { order: context.event.eventId });
    }),
    /the call of 'bank' in step 'charge' at .* failed for good, and the run ended as if it had not/,
    "swallowed",
  ],
  [
    "an event of the first attempt alone",
    skillOf(async (context) => {
      await context.step("charge", (step) => step.call(bank, { method: "POST", path: "/charges" }));
      if (context.attempt === 1) context.emit("OrderCharged", {});
    }),
    /it emits \[\], and \[ \{ eventType: 'OrderCharged'/,
  ],
  [
    "an event with chance in it",
    skillOf(async (context) => {
      await context.step("charge", (step) => step.call(bank, { method: "POST", path: "/charges" }));
      context.emit("OrderCharged", { receipt: randomUUID() });
    }),
    /it emits \[ \{ eventType: 'OrderCharged'.*, and \[ \{ eventType: 'OrderCharged'/s,
  ],
  [
    "the same step's name for two effects",
    skillOf(async (context) => {
      await context.step("pay", (step) => step.call(bank, { method: "POST", path: "/charges" }));
      await context.step("pay", (step) => step.call(bank, { method: "POST", path: "/refunds" }));
    }),
    /expected the event to complete without trouble, found that it is dead-lettered as STEP_REPEATED/,
  ],
  [
    "steps at once",
    skillOf(async (context) => {
      await Promise.all([
        context.step("charge", (step) => step.call(bank, { method: "POST", path: "/charges" })),
        context.step("tell", (step) => step.call(mail, { method: "POST", path: "/mails" })),
      ]);
    }),
    /expected the event to complete without trouble, found that it is dead-lettered as/,
  ],
  [
    "calls of a step that take their turns by chance",
    ((): Skill => {
      let turn = 0;
      return skillOf(async (context) => {
        turn += 1;
        const paths = turn % 2 === 0 ? ["/a", "/b"] : ["/b", "/a"];
        await context.step("both", async (step) => {
          for (const path of paths) await step.call(bank, { method: "POST", path }); // by turns
        });
      });
    })(),
    /asks under the same idempotency key for something else than before/,
    "by turns",
  ],
  [
    "a branch that the time takes",
    skillOf(async (context) => {
      if (Date.now() - Date.parse(context.event.timestamp) > 30_000) return;
      await context.step("charge", (step) => step.call(bank, { method: "POST", path: "/charges" })); // while it is new
    }),
    /the call of 'bank' in step 'charge' at .* was never made, and the run ended well all the same|its pipeline has changed|it ends as dead-lettered/,
  ],
];

/** Each kind of finding once; all of them in the long form. */
const shortForm: ReadonlySet<string> = new Set([
  "chance in what an effect asks for",
  "a step that nobody waits for",
  "an error that is swallowed",
  "a branch that the time takes",
]);

for (const [what, skill, said, mark] of mistakes.filter(([name]) => isLong || shortForm.has(name)))
  test(`${what} is found`, async () => {
    const error = await found(skill);
    assert.match(error.message, said);
    if (mark !== undefined) assertNames(error, mark, said);
  });

test("another way that is taken after an error that would have passed is found", async () => {
  const hasty: HttpDependency = defineDependency({ name: "hasty", retry: { attemptsMax: 1 } });
  const skill = defineSkill({
    name: "order",
    handles,
    uses: [hasty],
    run: async (context) => {
      const charged = await context.step("charge", (step) => step.call(hasty, { method: "POST", path: "/charges" })).catch(() => undefined);
      if (charged === undefined) await context.step("apologise", (step) => step.call(hasty, { method: "POST", path: "/mails" })); // another way
    },
  });
  assertNames(
    await found(skill, [stub(hasty, { status: 201 })]),
    "another way",
    /the call of 'hasty' in step 'apologise' at .* has an idempotency key that it does not have without trouble/,
  );
});

test("a case that fails without trouble fails, unless that is meant", async () => {
  const refused = skillOf(() => Promise.reject(new PermanentError("no such order", { code: "UNKNOWN_ORDER" })));
  const error = await found(refused);
  assert.match(
    error.message,
    /^skill 'order': expected the event to complete without trouble, found that it is dead-lettered as UNKNOWN_ORDER: .*; say mayEnd: \["dead-lettered"\] where that is meant$/,
  );
  assert.equal((await testSkill.everyWay(refused, { dependencies: stubs, mayEnd: ["dead-lettered"] })).undisturbed.outcome, "dead-lettered");
});

test("what is rightly another each time is a step's result that varies, and what follows from it", async () => {
  const skill = skillOf(async (context) => {
    const { at, nonce } = await context.step("choose", () => ({ at: new Date().toISOString(), nonce: randomUUID() }));
    await context.step("charge", (step) => step.call(bank, { method: "POST", path: "/charges", body: { at, nonce } }));
    context.emit("OrderCharged", { nonce });
  });
  const only = "the worker is killed before 'store";
  assert.match((await found(skill, stubs, only)).message, /step 'choose' has the result|asks under the same idempotency key/);
  await testSkill.everyWay(skill, { dependencies: stubs, varies: ["choose"], only });
  // Within one run it must stay what it is.
  const careless = skillOf(async (context) => {
    await context.step("choose", () => randomUUID());
    await context.step("charge", (step) => step.call(bank, { method: "POST", path: "/charges", body: { nonce: randomUUID() } }));
  });
  await assert.rejects(
    testSkill.everyWay(careless, { dependencies: stubs, varies: ["choose"], only }),
    /asks under the same idempotency key for something else than before/,
  );
});

test("a failure that needs no telling is said to be none", async () => {
  const skill = skillOf(async (context) => {
    await context.step("charge", (step) => step.call(bank, { method: "POST", path: "/charges" }));
    await context.step("tell", (step) => step.call(mail, { method: "POST", path: "/mails" })).catch(() => undefined);
  });
  const only = "fails for good";
  assert.match((await found(skill, stubs, only)).message, /the call of 'mail' in step 'tell' at .* failed for good, and the run ended as if it had not/);
  await testSkill.everyWay(skill, { dependencies: [stubs[0] ?? assert.fail(), stub(mail, { status: 202 }, { mayFail: true })], only });
});
