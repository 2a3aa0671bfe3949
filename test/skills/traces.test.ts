// What a run is reported as: its spans, and what they may say.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import * as fc from "fast-check";
import { allowedAttributes, type RunTrace, type SamplingPolicy } from "#runtime/core/spans.ts";
import { readTraceparent } from "#runtime/core/trace-context.ts";
import { type CallInfo, defineDependency, defineSkill, PermanentError, type Skill, type SkillContext, TransientError } from "#runtime/index.ts";
import { envelope, json } from "../support/event-messages.ts";
import { makeHost } from "./host.ts";

type Payload = Readonly<Record<string, unknown>>;

const all: SamplingPolicy = { ratio: 1, slowMs: 60_000, followParent: true };
const none: SamplingPolicy = { ...all, ratio: 0 };
const infos: CallInfo[] = [];
let answer: (attempt: number) => unknown = () => ({});
const model = defineDependency<unknown, unknown>({
  name: "model",
  generativeAi: { provider: "openai", price: { inputPerMillion: 2, outputPerMillion: 10 } },
  retry: { attemptsMax: 2, baseDelayMs: 1, delayMaxMs: 1 },
  request: async (_request, info) => {
    infos.push(info);
    return answer(info.attempt);
  },
});

function skillOf(run: (context: SkillContext<Payload>) => Promise<void> | void): Skill {
  return defineSkill({ name: "skill", handles: [{ eventType: envelope.eventType, versions: "1.x" }], uses: [model], run });
}

function textOf({ spans }: RunTrace): string {
  return JSON.stringify(spans.map((span) => [span.name, span.kind, allowedAttributes(span)]));
}

const completion = {
  model: "drafting-2",
  choices: [{ finish_reason: "stop", message: { content: "a secret answer" } }],
  usage: { prompt_tokens: 12, completion_tokens: 34 },
};

test("a call of a model is reported by the conventions for generative AI, under the id that its request carries", async (t) => {
  infos.length = 0;
  answer = () => ({ status: 200, body: completion });
  const ask = { method: "POST", path: "/chat", body: { model: "drafting", max_tokens: 600, temperature: 0, messages: [{ content: "a secret question" }] } };
  const skill = skillOf(async (context) => void (await context.step("write", (step) => step.call(model, ask))));
  const { trace } = await (await makeHost(t, [skill], undefined, all)).run();
  const [step, call] = trace?.spans ?? [];
  assert.ok(trace !== undefined && step !== undefined && call !== undefined);
  assert.deepEqual(
    [step.name, step.parentSpanId, call.name, call.parentSpanId, call.kind],
    ["step write", trace.spanId, "chat drafting", step.spanId, "client"],
  );
  assert.deepEqual(Object.fromEntries(allowedAttributes(call)), {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.max_tokens": 600,
    "gen_ai.request.model": "drafting",
    "gen_ai.request.temperature": 0,
    "gen_ai.response.finish_reasons": ["stop"],
    "gen_ai.response.model": "drafting-2",
    "gen_ai.usage.input_tokens": 12,
    "gen_ai.usage.output_tokens": 34,
    "holdfast.dependency": "model",
  });
  assert.equal(infos[0]?.traceparent, `00-${trace.traceId}-${call.spanId}-01`);
  assert.doesNotMatch(textOf(trace), /secret/);
});

test("nothing of a payload, of what is asked, answered, emitted, logged or thrown is in what is exported", async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.stringMatching(/^[a-z0-9@.:/ -]{10,40}$/), fc.constantFrom("return", "throw", "refuse"), async (marker, end) => {
      const secret = `pay ${marker} load`;
      answer = () => ({ status: 200, body: { ...completion, model: secret, choices: [{ finish_reason: secret }], usage: { prompt_tokens: secret } } });
      const skill = skillOf(async (context) => {
        const { text } = context.event.payload as { readonly text: string };
        context.log.info(text, { text });
        await context.step("write", (step) =>
          step.call(model, { method: text, path: `/${text}`, headers: { text }, body: { model: text, max_tokens: text, text } }),
        );
        context.emit("Written", { text });
        if (end === "throw") throw new TransientError(text, { code: text.slice(0, 60) });
        if (end === "refuse") throw new PermanentError(text, { code: text.slice(0, 60), cause: new Error(text) });
      });
      const { trace } = await (await makeHost(t, [skill], undefined, all)).run({ body: json({ ...envelope, payload: { text: secret } }) });
      assert.ok(trace !== undefined);
      const exported = textOf(trace) + JSON.stringify(allowedAttributes({ attributes: {}, error: trace.error }));
      assert.ok(!exported.includes(marker) && !exported.includes("pay "), exported);
    }),
    { numRuns: 30 },
  );
});

test("a run that goes well and was not chosen is not reported; one that fails, is retried or repeats a call is", async (t) => {
  answer = () => ({});
  const good = await makeHost(t, [skillOf(async (context) => void (await context.step("write", () => 1)))], undefined, none);
  assert.equal((await good.run()).trace, undefined);
  assert.equal((await good.run({ attempt: 2 })).trace?.spans.length, 1);
  const bad = await makeHost(t, [skillOf((context) => context.step("write", () => Promise.reject(new TransientError("no", { code: "NO" }))))], undefined, none);
  const { trace } = await bad.run();
  assert.deepEqual([trace?.error, trace?.spans.map(({ name, error }) => [name, error])], ["NO", [["step write", "NO"]]]);
  answer = (attempt) => {
    if (attempt === 1) throw new TransientError("not yet", { code: "NOT_YET" });
    return {};
  };
  const again = await makeHost(t, [skillOf(async (context) => void (await context.step("write", (step) => step.call(model, {}))))], undefined, none);
  const spans = (await again.run()).trace?.spans ?? [];
  assert.deepEqual(
    spans.map(({ name, error, attributes }) => [name, error, attributes["http.request.resend_count"]]),
    [
      ["step write", undefined, undefined],
      ["chat", "NOT_YET", undefined],
      ["chat", undefined, 1],
    ],
  );
});

test("what is open when a run's time is over is reported as far as it came", async (t) => {
  const skill = skillOf((context) => context.step("hang", () => new Promise<void>(() => void (bundle.skewMs += 20))));
  const bundle = await makeHost(t, [skill], undefined, none);
  bundle.stillAtMs = performance.now();
  const { trace } = await bundle.run({ timeoutMs: 20 });
  assert.deepEqual(
    trace?.spans.map(({ name, error }) => [name, error]),
    [["step hang", "RUN_TIMEOUT"]],
  );
  assert.ok((trace?.spans[0]?.endMs ?? 0) > 0);
});

test("the event's own trace goes before its message's, which goes before one that is derived; the message's decides whether it is kept", async (t) => {
  const bundle = await makeHost(t, [skillOf((context) => context.emit("Written", {}))], undefined, none);
  const [own, other] = ["4bf92f3577b34da6a3ce929d0e0e4736", "0af7651916cd43dd8448eb211c80319c"];
  const runWith = async (traceId: string, traceparent?: string): Promise<RunTrace | undefined> =>
    (await bundle.run({ body: json({ ...envelope, traceId }), traceparent })).trace;
  const kept = `00-${other}-00f067aa0ba902b7-01`;
  assert.deepEqual([(await runWith("trace-1", kept))?.traceId, (await runWith("trace-1", kept))?.saidTraceId], [other, "trace-1"]);
  assert.equal(await runWith(own, kept), undefined, "expected another trace's word not to count");
  assert.equal((await runWith(own, kept.replace(other, own)))?.traceId, own);
  assert.equal(await runWith("trace-1"), undefined);
  const { answer: said } = await bundle.run({ body: json({ ...envelope, traceId: own }), traceparent: kept.replace(other, own) });
  assert.ok(said.kind === "completed");
  assert.deepEqual({ ...readTraceparent(said.outbox[0]?.headers["traceparent"]), spanId: "" }, { traceId: own, spanId: "", isSampled: true });
});

test("where nothing is traced, an event says nothing of its trace but its id, and a run records nothing", async (t) => {
  const bundle = await makeHost(t, [skillOf((context) => context.emit("Written", {}))]);
  const { answer: said, trace } = await bundle.run();
  assert.ok(said.kind === "completed");
  assert.deepEqual([trace, said.outbox[0]?.headers["traceparent"]], [undefined, undefined]);
});

test("no span of one execution has the id of another's", async (t) => {
  answer = () => ({});
  const skill = skillOf(async (context) => {
    await context.call(model, {});
    await context.step("write", (step) => step.call(model, {}));
    context.emit("Drafted", {});
  });
  const bundle = await makeHost(t, [skill], undefined, all);
  const traces = [await bundle.run(), await bundle.run({ attempt: 2 })].map(({ trace }) => trace);
  const ids = traces.flatMap((trace) => [trace?.spanId, ...(trace?.spans ?? []).map(({ spanId }) => spanId)]);
  assert.equal(ids.length, 10);
  assert.equal(new Set(ids).size, ids.length);
});

test("what a model says that its answers took is reported by the run, and what that cost, also where nothing is traced", async (t) => {
  answer = () => ({ status: 200, body: completion });
  const skill = skillOf(async (context) => {
    await context.call(model, {});
    await context.step("write", (step) => step.call(model, {}));
  });
  const { calls } = await (await makeHost(t, [skill])).run();
  assert.deepEqual(
    calls.map(({ spent }) => spent),
    [{ inputTokens: 24, outputTokens: 68, cost: (24 * 2 + 68 * 10) / 1_000_000 }],
  );
  answer = () => ({ usage: { prompt_tokens: "many", completion_tokens: -1 } });
  const { calls: silent } = await (await makeHost(t, [skill])).run();
  assert.deepEqual(
    silent.map(({ spent }) => spent),
    [undefined],
  );
});
