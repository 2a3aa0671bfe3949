import { strict as assert } from "node:assert";
import { after, before, test } from "node:test";
import { documentDrafter, library } from "#handlers/document-drafter/index.ts";
import { attemptsMax, model } from "#handlers/document-drafter/model.ts";
import { readOutline, readReview } from "#handlers/document-drafter/writing.ts";
import { StandInControl } from "#load/stand-ins/client.ts";
import { type StandIns, startStandIns } from "#load/stand-ins/stand-ins.ts";
import type { HttpRequest } from "#runtime/index.ts";
import { type HttpAnswer, type SkillOutcome, type Stub, type StubCall, fault, stub, testSkill } from "#runtime/testing/index.ts";
import { refusalOf } from "../support/refused-payload.ts";
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
function draftedOf({ emitted }: SkillOutcome): Record<string, unknown> {
  assert.deepEqual(
    emitted.map(({ eventType }) => eventType),
    ["DocumentDrafted"],
  );
  return emitted[0]?.payload as Record<string, unknown>;
}

/** Calls the stand-ins over HTTP, with the headers that the runtime sends. */
function overHttp(dependency: "model" | "library"): (call: StubCall<HttpRequest>) => Promise<HttpAnswer> {
  return async ({ request, idempotencyKey, step }) => {
    const headers = { "content-type": "application/json", "idempotency-key": idempotencyKey, "holdfast-run": "drafter", "holdfast-step": step ?? "" };
    const response = await fetch(`${standIns.urls[dependency]}${request.path}`, { method: request.method, headers, body: JSON.stringify(request.body) });
    return { status: response.status, body: await response.json() };
  };
}

const publishing = stub(library, overHttp("library"));
const dependencies = [stub(model, overHttp("model")), publishing];
const draft = (eventId: string, stubs: readonly Stub[] = dependencies): Promise<SkillOutcome> =>
  testSkill(documentDrafter, { event: { eventId, payload }, dependencies: stubs });

test("drafts in five steps, one call each, and emits what it cost", async () => {
  const result = await draft("evt-plain");
  const { steps, calls } = result;
  assert.deepEqual(
    steps.map(({ name }) => name),
    allSteps,
  );
  assert.deepEqual(
    calls.map(({ step, dependency }) => [step, dependency]),
    allSteps.map((step) => [step, step === "publish" ? "library" : "model"]),
  );
  assert.equal(new Set(calls.map((call) => call.idempotencyKey)).size, allSteps.length);
  const drafted = draftedOf(result);
  assert.deepEqual(drafted["sources"], ["model"]);
  assert.ok((drafted["tokens"] as number) > 0);
  const published = (calls.at(-1)?.request as HttpRequest | undefined)?.body as Record<string, string>;
  assert.match(published["text"] ?? "", /^# Checkout is faster\n\n## .+\n\n.+/);
});

test("goes on where it stopped, and no step has a second effect, in every way", async () => {
  await control.forget();
  const { cases } = await testSkill.everyWay(documentDrafter, { event: { eventId: "evt-ways", payload }, dependencies });
  assert.ok(cases > 100, `found ${cases} cases`);
  const found = await control.summary();
  assert.equal(found.model.effectsAgain + found.library.effectsAgain, 0);
});

test("answers from the template when the model refuses for good, the same at every try", async () => {
  const refusing = [stub(model, { status: 400 }), publishing];
  const one = await draft("evt-refused", refusing);
  assert.deepEqual(
    one.steps.map(({ name, quality }) => [name, quality]),
    allSteps.map((step) => [step, step === "publish" ? "full" : "template"]),
  );
  const drafted = draftedOf(one);
  assert.deepEqual(drafted["sources"], ["template"]);
  assert.equal(drafted["status"], "needs-review");
  assert.equal(drafted["tokens"], 0);
  const again = await draft("evt-refused", refusing);
  assert.deepEqual(again.calls.at(-1)?.request, one.calls.at(-1)?.request);
});

test("lets a passing failure be retried, and answers from the template at the last attempt", async () => {
  const result = await draft("evt-last", [stub(model, fault.reset()), publishing]);
  assert.equal(result.retries.length, attemptsMax - 1);
  assert.deepEqual(draftedOf(result)["sources"], ["template"]);
});

test("an answer of no use is answered from the template", async () => {
  for (const body of ["", { choices: [] }, { choices: [{ message: { content: "   " } }] }])
    assert.deepEqual(draftedOf(await draft("evt-useless", [stub(model, { body }), stub(library, { body: { revision: 1 } })]))["sources"], ["template"]);
});

test("a failure to publish is not answered from a template", async () => {
  const { outcome, reason } = await draft("evt-unpublished", [stub(model, overHttp("model")), stub(library, { status: 422 })]);
  assert.deepEqual([outcome, reason], ["dead-lettered", "HTTP_422"]);
});

test("reads the model's answers strictly", () => {
  assert.deepEqual(readOutline("Sure:\n1. What changed\n2) Who is affected\n3. More"), ["What changed", "Who is affected"]);
  assert.equal(readOutline("1. Only one"), undefined);
  assert.deepEqual(readReview('{"approved":true,"notes":["a",7]}'), { approved: true, notes: ["a"] });
  for (const answer of ["", "null", "[]", '{"approved":"yes"}']) assert.equal(readReview(answer), undefined);
});

test("accepts every example as its matter", async () => {
  for (const about of webhookExamples()) assert.equal(await refusalOf(documentDrafter, { ...payload, about }), undefined);
  assert.match((await refusalOf(documentDrafter, { ...payload, audience: "everyone" })) ?? "", /audience/);
});
