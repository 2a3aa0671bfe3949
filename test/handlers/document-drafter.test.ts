import { strict as assert } from "node:assert";
import { after, before, test } from "node:test";
import { documentDrafter } from "#handlers/document-drafter/index.ts";
import { attemptsMax } from "#handlers/document-drafter/model.ts";
import { readOutline, readReview } from "#handlers/document-drafter/writing.ts";
import { StandInControl } from "#load/stand-ins/client.ts";
import { type StandIns, startStandIns } from "#load/stand-ins/stand-ins.ts";
import { type HttpRequest, PermanentError, TransientError } from "#runtime/index.ts";
import { type Call, Crash, type HarnessOptions, type HarnessResult, type StoredSteps, readPayload, runSkill } from "../support/skill-harness.ts";
import { webhookExamples } from "../support/webhook-examples.ts";

const allSteps = ["outline", "draft-1", "draft-2", "review", "publish"];
const payload = {
  title: "Checkout is faster",
  audience: "engineers",
  about: { name: "pull_request", event: { action: "closed", repository: { full_name: "octo/shop" }, sender: { login: "mona" } } },
};

let standIns: StandIns;
let control: StandInControl;
before(async () => {
  standIns = await startStandIns();
  control = new StandInControl(standIns.controlUrl);
});
after(() => standIns.stop());

/** The payload of the one event that a run emitted. */
function draftedOf({ emitted }: HarnessResult): Record<string, unknown> {
  assert.deepEqual(
    emitted.map(({ eventType }) => eventType),
    ["DocumentDrafted"],
  );
  return emitted[0]?.payload as Record<string, unknown>;
}

/** Calls the stand-ins over HTTP, with the headers that the runtime sends. */
function overHttp(dependency: "model" | "library"): (request: HttpRequest, call: Call) => Promise<unknown> {
  return async (request, call) => {
    const headers = {
      "content-type": "application/json",
      "idempotency-key": call.idempotencyKey,
      "holdfast-run": call.idempotencyKey.split("/")[0] ?? "",
      "holdfast-step": call.step ?? "",
    };
    const response = await fetch(`${standIns.urls[dependency]}${request.path}`, { method: request.method, headers, body: JSON.stringify(request.body) });
    if (!response.ok) throw new PermanentError(`answered ${response.status}`, { code: `HTTP_${response.status}`, dependency });
    return { status: response.status, headers: {}, body: await response.json() };
  };
}

const answers = { model: overHttp("model"), library: overHttp("library") };
const draft = (options: HarnessOptions = {}): ReturnType<typeof runSkill> => runSkill(documentDrafter, payload, { answers, ...options });

test("drafts in five steps, one call each, and emits what it cost", async () => {
  const result = await draft({ eventId: "evt-plain" });
  const { ran, calls } = result;
  assert.deepEqual(ran, allSteps);
  assert.deepEqual(
    calls.map(({ step, dependency }) => [step, dependency]),
    allSteps.map((step) => [step, step === "publish" ? "library" : "model"]),
  );
  assert.equal(new Set(calls.map((call) => call.idempotencyKey)).size, allSteps.length);
  const drafted = draftedOf(result);
  assert.deepEqual(drafted["sources"], ["model"]);
  assert.ok((drafted["tokens"] as number) > 0);
  const published = calls.at(-1)?.request.body as Record<string, string>;
  assert.match(published["text"] ?? "", /^# Checkout is faster\n\n## .+\n\n.+/);
});

test("goes on where it stopped after a crash at any step, and no step has a second effect", async () => {
  await control.forget();
  for (const crashAfterEffectOf of allSteps) {
    const eventId = `evt-crash-${crashAfterEffectOf}`;
    const stored: StoredSteps = new Map();
    await assert.rejects(draft({ eventId, stored, crashAfterEffectOf }), Crash);
    const resumed = await draft({ eventId, stored, attempt: 2 });
    assert.deepEqual(resumed.ran, allSteps.slice(allSteps.indexOf(crashAfterEffectOf)));
    assert.equal(resumed.emitted.length, 1);
  }
  const { model, library } = await control.summary();
  assert.equal(model.effects + library.effects, allSteps.length * allSteps.length);
  assert.equal(model.effectsAgain + library.effectsAgain, 0);
  assert.equal(model.replays + library.replays, allSteps.length, "expected the step that crashed to be asked again under its key");
});

test("answers from the template when the model refuses for good, the same at every try", async () => {
  const refusing = {
    ...answers,
    model: () => {
      throw new PermanentError("no", { code: "HTTP_400" });
    },
  };
  const one = await draft({ eventId: "evt-refused", answers: refusing });
  assert.deepEqual(one.ran, allSteps);
  const drafted = draftedOf(one);
  assert.deepEqual(drafted["sources"], ["template"]);
  assert.equal(drafted["status"], "needs-review");
  assert.equal(drafted["tokens"], 0);
  const again = await draft({ eventId: "evt-refused", answers: refusing });
  assert.deepEqual(again.calls.at(-1)?.request, one.calls.at(-1)?.request);
});

test("lets a passing failure be retried, and answers from the template at the last attempt", async () => {
  const down = {
    ...answers,
    model: () => {
      throw new TransientError("timed out", { definite: false });
    },
  };
  await assert.rejects(draft({ answers: down, attempt: attemptsMax - 1 }), TransientError);
  const last = await draft({ eventId: "evt-last", answers: down, attempt: attemptsMax });
  assert.deepEqual(draftedOf(last)["sources"], ["template"]);
});

test("an answer of no use is answered from the template, a defect is not", async () => {
  const saying = (content: unknown): HarnessOptions => ({
    eventId: "evt-useless",
    answers: { library: () => ({ status: 200, headers: {}, body: { revision: 1 } }), model: () => ({ status: 200, headers: {}, body: content }) },
  });
  for (const content of ["", { choices: [] }, { choices: [{ message: { content: "   " } }] }]) {
    assert.deepEqual(draftedOf(await draft(saying(content)))["sources"], ["template"]);
  }
  const broken = {
    ...answers,
    model: () => {
      throw new TypeError("a defect");
    },
  };
  await assert.rejects(draft({ answers: broken }), TypeError);
});

test("a failure to publish is not answered from a template", async () => {
  const down = {
    ...answers,
    library: () => {
      throw new PermanentError("no room", { code: "HTTP_507" });
    },
  };
  await assert.rejects(draft({ eventId: "evt-unpublished", answers: down, attempt: attemptsMax }), PermanentError);
});

test("reads the model's answers strictly", () => {
  assert.deepEqual(readOutline("Sure:\n1. What changed\n2) Who is affected\n3. More"), ["What changed", "Who is affected"]);
  assert.equal(readOutline("1. Only one"), undefined);
  assert.deepEqual(readReview('{"approved":true,"notes":["a",7]}'), { approved: true, notes: ["a"] });
  for (const answer of ["", "null", "[]", '{"approved":"yes"}']) assert.equal(readReview(answer), undefined);
});

test("accepts every example as its matter", async () => {
  for (const about of webhookExamples()) await readPayload(documentDrafter.payload, { ...payload, about });
  await assert.rejects(readPayload(documentDrafter.payload, { ...payload, audience: "everyone" }), /audience/);
});
