import { strict as assert } from "node:assert";
import { once } from "node:events";
import { after, before, beforeEach, describe, test } from "node:test";
import { StandInControl, spawnStandIns } from "#load/stand-ins/client.ts";
import { type StandIns, startStandIns } from "#load/stand-ins/stand-ins.ts";
import { eventually, within } from "../support/eventually.ts";

interface Call {
  readonly key?: string;
  readonly run?: string;
  readonly step?: string;
  readonly epoch?: number;
  readonly body?: unknown;
  readonly signal?: AbortSignal;
}

function headersOf({ key, run, step, epoch }: Call): Record<string, string> {
  return {
    "content-type": "application/json",
    ...(key === undefined ? {} : { "idempotency-key": key }),
    ...(run === undefined ? {} : { "holdfast-run": run }),
    ...(step === undefined ? {} : { "holdfast-step": step }),
    "holdfast-epoch": String(epoch ?? 1),
  };
}

function post(url: string, call: Call): Promise<Response> {
  return fetch(url, { method: "POST", headers: headersOf(call), body: JSON.stringify(call.body ?? { text: "a build failed" }), signal: call.signal ?? null });
}

describe("stand-ins", () => {
  let standIns: StandIns;
  let control: StandInControl;
  let hook: string;
  let chat: string;

  before(async () => {
    standIns = await startStandIns();
    control = new StandInControl(standIns.controlUrl);
    hook = `${standIns.urls.notifier}/hooks/builds`;
    chat = `${standIns.urls.model}/v1/chat/completions`;
  });
  beforeEach(async () => {
    await control.behave({
      target: "all",
      latencyMs: 0,
      jitterMs: 0,
      failureRate: 0,
      failureStatus: 503,
      permanentFailureRate: 0,
      permanentFailureStatus: 400,
      retryAfterMs: 0,
      halfAnswerRate: 0,
      lostAnswerRate: 0,
      hang: false,
      seed: 1,
    });
    await control.forget();
  });
  after(() => standIns.stop());

  test("the same key has one effect and gives the same answer", async () => {
    const first = await post(hook, { key: "k1", run: "evt-1", step: "post", epoch: 1 });
    const again = await post(hook, { key: "k1", run: "evt-1", step: "post", epoch: 2 });
    const other = await post(hook, { key: "k2", run: "evt-2", step: "post" });
    assert.equal(first.status, 202);
    const firstText = await first.text();
    assert.equal(await again.text(), firstText);
    assert.equal(again.headers.get("idempotent-replayed"), "true");
    assert.notEqual(await other.text(), firstText);

    const { notifier, model } = await control.summary();
    assert.deepEqual(
      { ...notifier },
      {
        calls: 3,
        distinctKeys: 2,
        effects: 2,
        replays: 1,
        repeatedKeys: 1,
        failures: 0,
        effectsAgain: 0,
        conflicts: 0,
        withoutKey: 0,
        refused: 0,
        hung: 0,
        effectsByStep: { post: 2 },
      },
    );
    assert.equal(model.calls, 0);
    const [repeat] = (await control.repeats()).notifier;
    assert.ok(repeat);
    assert.equal(repeat.key, "k1");
    assert.equal(repeat.effects, 1);
    assert.deepEqual(
      repeat.calls.map(({ run, step, epoch }) => ({ run, step, epoch })),
      [
        { run: "evt-1", step: "post", epoch: 1 },
        { run: "evt-1", step: "post", epoch: 2 },
      ],
    );
    assert.ok(repeat.calls.every((call) => Math.abs(call.atMs - Date.now()) < 60_000));
  });

  test("a caller that makes up a new key for a step of the same run is noticed", async () => {
    for (const key of ["a", "b", "c"]) await post(hook, { key, run: "evt-1", step: "post" });
    await post(hook, { key: "d", run: "evt-1", step: "announce" });
    const { notifier } = await control.summary();
    assert.equal(notifier.repeatedKeys, 0);
    assert.equal(notifier.effectsAgain, 2);
  });

  test("a key on a different request is refused and counted", async () => {
    await post(hook, { key: "k", body: { text: "one" } });
    const reused = await post(hook, { key: "k", body: { text: "two" } });
    assert.equal(reused.status, 422);
    const { notifier } = await control.summary();
    assert.equal(notifier.conflicts, 1);
    assert.equal(notifier.effects, 1);
  });

  test("calls without a key each have their effect and are counted apart", async () => {
    await post(hook, {});
    await post(hook, {});
    const { notifier } = await control.summary();
    assert.equal(notifier.withoutKey, 2);
    assert.equal(notifier.effects, 2);
    assert.equal(notifier.distinctKeys, 0);
  });

  test("a failure has no effect, and the next try of the key may have one", async () => {
    await control.behave({ target: "notifier", failureRate: 1, failureStatus: 502 });
    assert.equal((await post(hook, { key: "k", run: "r", step: "s" })).status, 502);
    await control.behave({ target: "notifier", failureRate: 0 });
    const retried = await post(hook, { key: "k", run: "r", step: "s" });
    assert.equal(retried.status, 202);
    assert.equal(retried.headers.get("idempotent-replayed"), null);
    const { notifier } = await control.summary();
    assert.equal(notifier.failures, 1);
    assert.equal(notifier.effects, 1);
    assert.equal(notifier.replays, 0);
    assert.equal(notifier.repeatedKeys, 1);
  });

  test("failures come at their rate, and the same seed fails the same tries", async () => {
    const failed = async (seed: number): Promise<string[]> => {
      await control.forget();
      await control.behave({ target: "notifier", failureRate: 0.3, seed });
      const keys = Array.from({ length: 200 }, (_, index) => `key-${index}`);
      const answers = await Promise.all(keys.map((key) => post(hook, { key })));
      await Promise.all(answers.map((answer) => answer.text()));
      return keys.filter((_, index) => answers[index]?.status === 503);
    };
    const one = await failed(7);
    assert.ok(one.length > 30 && one.length < 90, `expected about 60 of 200 to fail, got ${one.length}`);
    assert.deepEqual(await failed(7), one);
    assert.notDeepEqual(await failed(8), one);
  });

  test("a permanent failure stays with its key", async () => {
    await control.behave({ target: "model", permanentFailureRate: 0.5 });
    const body = { messages: [{ role: "user", content: "Draft a section about releases" }] };
    const ask = async (key: string): Promise<number> => (await post(chat, { key, body })).status;
    const keys = Array.from({ length: 40 }, (_, index) => `key-${index}`);
    const first = await Promise.all(keys.map(ask));
    const second = await Promise.all(keys.map(ask));
    assert.deepEqual(second, first);
    assert.ok(first.includes(400) && first.includes(200), "expected some keys to fail and some to succeed");
  });

  test("a lost answer had its effect: the next try replays it", async () => {
    await control.behave({ target: "notifier", lostAnswerRate: 1 });
    await assert.rejects(post(hook, { key: "k", run: "r", step: "s" }));
    await control.behave({ target: "notifier", lostAnswerRate: 0 });
    const again = await post(hook, { key: "k", run: "r", step: "s" });
    assert.equal(again.headers.get("idempotent-replayed"), "true");
    assert.equal((await control.summary()).notifier.effects, 1);
  });

  test("a refusal for a while says when to come again", async () => {
    await control.behave({ target: "notifier", failureRate: 1, failureStatus: 429, retryAfterMs: 1_500 });
    const refused = await post(hook, { key: "k", run: "r", step: "s" });
    assert.deepEqual([refused.status, refused.headers.get("retry-after")], [429, "2"]);
    assert.equal((await control.summary()).notifier.effects, 0);
  });

  test("half an answer had its effect, and breaks off before its end", async () => {
    await control.behave({ target: "notifier", halfAnswerRate: 1 });
    const half = await post(hook, { key: "k", run: "r", step: "s" });
    assert.equal(half.status, 202);
    await assert.rejects(half.text(), /terminated/);
    await control.behave({ target: "notifier", halfAnswerRate: 0 });
    assert.equal((await post(hook, { key: "k", run: "r", step: "s" })).headers.get("idempotent-replayed"), "true");
    assert.equal((await control.summary()).notifier.effects, 1);
  });

  test("hung calls are answered when the hang ends, and the other stand-in does not hang", async () => {
    await control.behave({ target: "notifier", hang: true });
    let answered = false;
    const hung = post(hook, { key: "k" }).finally(() => {
      answered = true;
    });
    await eventually("the call to hang", async () => (await control.summary()).notifier.hung === 1);
    const asked = await post(chat, { key: "m", body: { messages: [{ role: "user", content: "hello there" }] } });
    assert.equal(asked.status, 200);
    assert.equal(answered, false);
    await control.behave({ target: "notifier", hang: false });
    assert.equal((await within("the hung call to be answered", hung)).status, 202);
    assert.equal((await control.summary()).notifier.hung, 0);
  });

  test("a caller that gives up on a hung call is forgotten, its effect is not", async () => {
    await control.behave({ target: "notifier", hang: true });
    const leaving = new AbortController();
    const hung = post(hook, { key: "k", signal: leaving.signal });
    await eventually("the call to hang", async () => (await control.summary()).notifier.hung === 1);
    leaving.abort();
    await assert.rejects(hung);
    await eventually("the call to be forgotten", async () => (await control.summary()).notifier.hung === 0);
    await control.behave({ target: "notifier", hang: false });
    assert.equal((await post(hook, { key: "k" })).headers.get("idempotent-replayed"), "true");
  });

  test("stopping answers what hangs", async () => {
    const own = await startStandIns();
    const ownControl = new StandInControl(own.controlUrl);
    await ownControl.behave({ target: "notifier", hang: true });
    const hung = post(`${own.urls.notifier}/hooks/builds`, { key: "k" });
    await eventually("the call to hang", async () => (await ownControl.summary()).notifier.hung === 1);
    await within("the stand-ins to stop", own.stop());
    assert.equal((await within("the hung call to be answered", hung)).status, 202);
  });

  test("the library keeps each document once for a key", async () => {
    const put = (key: string, id: string): Promise<Response> =>
      fetch(`${standIns.urls.library}/documents/${id}`, { method: "PUT", headers: headersOf({ key }), body: JSON.stringify({ text: "a note" }) });
    const first = (await (await put("k1", "note-1")).json()) as Record<string, unknown>;
    assert.equal(first["id"], "note-1");
    assert.deepEqual(await (await put("k1", "note-1")).json(), first);
    assert.equal((await put("k1", "note-2")).status, 422);
    const { library } = await control.summary();
    assert.deepEqual([library.effects, library.replays, library.conflicts], [1, 1, 1]);
  });

  test("latency is waited for", async () => {
    await control.behave({ target: "notifier", latencyMs: 50 });
    const startedAt = performance.now();
    await post(hook, { key: "k" });
    assert.ok(performance.now() - startedAt >= 45);
  });

  test("the control refuses what it does not know", async () => {
    await assert.rejects(control.behave({ target: "printer", hang: true }), /expected target to be all or one of notifier, model, library, got printer/);
    const refused = await fetch(`${standIns.controlUrl}/behaviour`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ target: "all", failRate: 1 }),
    });
    assert.equal(refused.status, 400);
    assert.match(await refused.text(), /failRate/);
    await assert.rejects(control.behave({ target: "all", failureRate: 2 }), /400/);
  });

  test("the model answers from the request alone, in the form that was asked for", async () => {
    const ask = async (key: string, content: string, extra: object = {}): Promise<Record<string, unknown>> => {
      const response = await post(chat, { key, body: { model: "small", messages: [{ role: "user", content }], ...extra } });
      assert.equal(response.status, 200);
      return (await response.json()) as Record<string, unknown>;
    };
    const contentOf = (completion: Record<string, unknown>): string => (completion["choices"] as [{ message: { content: string } }])[0].message.content;
    const one = await ask("a", "Write about the release of the payment service");
    const same = await ask("b", "Write about the release of the payment service");
    assert.equal(contentOf(one), contentOf(same));
    assert.notEqual(contentOf(one), contentOf(await ask("c", "Write about the branch that was deleted")));
    const usage = one["usage"] as Record<string, number>;
    assert.ok((usage["prompt_tokens"] ?? 0) > 0);
    assert.equal(usage["total_tokens"], (usage["prompt_tokens"] ?? 0) + (usage["completion_tokens"] ?? 0));
    assert.match(contentOf(await ask("d", "Give the outline as a numbered list of titles")), /^1\. .+\n2\. .+\n3\. /);
    const review = JSON.parse(contentOf(await ask("e", "Review this text", { response_format: { type: "json_object" } }))) as Record<string, unknown>;
    assert.equal(typeof review["approved"], "boolean");
    const refused = await post(chat, { key: "f", body: { messages: [] } });
    assert.equal(refused.status, 400);
    assert.equal((await control.summary()).model.failures, 1);
  });
});

test("the stand-ins run as a process that ends with its parent's word or its parent", async () => {
  const told = await spawnStandIns();
  assert.equal((await post(`${told.urls.notifier}/hooks/builds`, { key: "k" })).status, 202);
  assert.equal((await new StandInControl(told.controlUrl).summary()).notifier.calls, 1);
  await within("the process to stop on SIGTERM", told.stop());
  assert.equal(told.process.exitCode, 0);

  const orphaned = await spawnStandIns();
  const exited = once(orphaned.process, "exit");
  orphaned.process.disconnect();
  await within("the process to stop when its channel closes", exited);
  assert.equal(orphaned.process.exitCode, 0);
});
